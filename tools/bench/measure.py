"""Contenders and what came of them: equal outputs first, then times, taken in turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.measure import statistics, timer
from fdabnn_deploy.measure.statistics import summarise
from fdabnn_deploy.measure.timer import Seconds

Array = NDArray[Any]


@dataclass(frozen=True)
class Contender:
    """Something to be timed.

    Attributes:
        name: in tables, unique among those timed together.
        group: what it is compared as: ours, lce, fp32, int8, peak, ...
        seconds: runs it.
        output: what it computed, in the layout of `expected`; None for what computes nothing.
        expected: what it has to compute, bit by bit.
        detail: further facts for the record.
    """

    name: str
    group: str
    seconds: Seconds
    output: Callable[[], Array] | None = None
    expected: Array | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """Microseconds of one call.

    Attributes:
        median: of the rounds.
        p10: a tenth of the rounds were faster.
        p90: a tenth of the rounds were slower.
        best: the fastest round.
        rounds: how many.
        calls: in a round.
    """

    median: float
    p10: float
    p90: float
    best: float
    rounds: int
    calls: int


@dataclass(frozen=True)
class Row:
    """The result of a contender: a timing, or the reason why there is none."""

    name: str
    group: str
    timing: Timing | None
    reason: str
    detail: dict[str, Any]


def difference(found: Array, expected: Array) -> str:
    """In words, how an output differs from what it has to be; empty where no bit does.

    -0.0 and 0.0 are the same here: which of them comes out depends on the order of a sum that all agree on.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return f"gives {found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}"
    differing = int(np.count_nonzero(found != expected))
    return f"{differing} of {found.size} values differ" if differing else ""


def timing(samples: Sequence[float], calls: int) -> Timing:
    """Statistics of samples in seconds per call, at least one."""
    found = summarise([1e6 * sample for sample in samples])
    return Timing(found.median, found.p10, found.p90, found.min, found.runs, calls)


def run_interleaved(contenders: Sequence[Contender], rounds: int) -> list[Row]:
    """Checks every contender's output, and times those whose output is equal (`fdabnn_deploy.measure.timer.interleaved`).

    Args:
        contenders: what to time.
        rounds: samples of each, at least 1.

    Returns:
        A row for each, in order.
    """
    reasons = [_check(contender) for contender in contenders]
    running = [i for i, reason in enumerate(reasons) if not reason]
    timed = timer.interleaved([contenders[i].seconds for i in running], rounds)
    timings = {i: timing(found.seconds, found.calls) for i, found in zip(running, timed, strict=True)}
    return [
        Row(contender.name, contender.group, timings.get(i), reasons[i], contender.detail)
        for i, contender in enumerate(contenders)
    ]


def _check(contender: Contender) -> str:
    if contender.output is None or contender.expected is None:
        return ""
    contender.seconds(1)
    return difference(contender.output(), contender.expected)


def best(rows: Sequence[Row], group: str) -> Row | None:
    """The row of a group with the lowest median, None where none was timed."""
    timed = [row for row in rows if row.group == group and row.timing is not None]
    return min(timed, key=_median, default=None)


def _median(row: Row) -> float:
    assert row.timing is not None
    return row.timing.median


def named(rows: Sequence[Row], name: str) -> Row | None:
    """The row of this name if it was timed."""
    return next((row for row in rows if row.name == name and row.timing is not None), None)


def ratio(slower: Row | None, faster: Row | None) -> float | None:
    """The ratio of two medians, None where one is missing."""
    if slower is None or faster is None:
        return None
    return statistics.ratio(_median(slower), _median(faster))


@contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Keeps this thread, and those it starts, on these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
