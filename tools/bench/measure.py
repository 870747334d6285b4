"""Times contenders in turn: every round gives each of them a short sample, so that what disturbs the machine disturbs all alike."""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Seconds = Callable[[int], float]
"""Runs something so many times and gives back the seconds that it took."""

SAMPLE_SECONDS = 2e-3
"""A sample lasts at least this long: many timer ticks, and less than the scheduler's turn."""


@dataclass(frozen=True)
class Contender:
    """Something to be timed.

    Attributes:
        name: in tables, unique among those timed together.
        group: what it is compared as: ours, lce, fp32, int8, ceiling, ...
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
    """What came of a contender: a timing, or why there is none."""

    name: str
    group: str
    timing: Timing | None
    reason: str
    detail: dict[str, Any]


def looped(run: Callable[[], object]) -> Seconds:
    """Times a Python function."""

    def seconds(calls: int) -> float:
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        return time.perf_counter() - begin

    return seconds


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
    micros = sorted(1e6 * sample for sample in samples)
    if len(micros) == 1:
        p10 = p90 = micros[0]
    else:
        deciles = statistics.quantiles(micros, n=10, method="inclusive")
        p10, p90 = deciles[0], deciles[-1]
    return Timing(statistics.median(micros), p10, p90, micros[0], len(micros), calls)


def calls_for(seconds: float, sample_seconds: float = SAMPLE_SECONDS) -> int:
    """How many calls of so many seconds fill a sample."""
    return max(1, math.ceil(sample_seconds / max(seconds, 1e-9)))


def run_in_turn(contenders: Sequence[Contender], rounds: int) -> list[Row]:
    """Checks every contender's output, warms it up, and times those whose output is equal.

    A round goes through all of them, and starts with another one each time; each sample follows an untimed call, because the one
    before has the caches.

    Args:
        contenders: what to time.
        rounds: samples of each, at least 1.

    Returns:
        A row for each, in order.
    """
    reasons = [_check(contender) for contender in contenders]
    running = [i for i, reason in enumerate(reasons) if not reason]
    calls: dict[int, int] = {}
    for i in running:
        contenders[i].seconds(1)
        calls[i] = calls_for(min(contenders[i].seconds(1) for _ in range(3)))
        contenders[i].seconds(calls[i])
    samples: dict[int, list[float]] = {i: [] for i in running}
    for turn in range(rounds):
        shift = turn % max(len(running), 1)
        for i in (*running[shift:], *running[:shift]):
            contenders[i].seconds(1)
            samples[i].append(contenders[i].seconds(calls[i]) / calls[i])
    return [
        Row(
            contender.name,
            contender.group,
            timing(samples[i], calls[i]) if i in samples else None,
            reasons[i],
            contender.detail,
        )
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
    return _median(slower) / _median(faster)


@contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Keeps this thread, and those it starts, on these processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
