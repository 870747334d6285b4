"""The timer of everything that Python times: runs of a model, peers in a benchmark, training steps.

Runs on a device are timed by the runner, in C++ (`fdabnn_deploy/native/runner/latency.h`).

The clock is `time.perf_counter`, read directly before and behind the calls. A call that takes some microseconds is timed many at a time
(`calls_for`), and what is compared is timed in turn (`interleaved`), so that what disturbs the machine disturbs all alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Seconds = Callable[[int], float]
"""Makes so many calls of something and gives back the seconds that all of them took."""

SAMPLE_SECONDS = 2e-3
"""A sample of many calls lasts at least this long: many timer ticks, and less than the scheduler's turn."""

_SHORTEST = 1e-9


@dataclass(frozen=True)
class Elapsed:
    """The times of some calls, in seconds.

    Attributes:
        wall: by the clock.
        processor: of the processors, all threads of this process together.
    """

    wall: float
    processor: float


@dataclass(frozen=True)
class Samples:
    """Seconds per call, one figure for each sample, and how many calls a sample is the mean of."""

    seconds: tuple[float, ...]
    calls: int


def elapsed(run: Callable[[], object], calls: int = 1) -> Elapsed:
    """Makes calls one after the other and says what they took."""
    processor = time.process_time()
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    wall = time.perf_counter() - begin
    return Elapsed(wall, time.process_time() - processor)


def looped(run: Callable[[], object]) -> Seconds:
    """A timer of calls of a Python function: number of calls -> seconds in all."""
    return lambda calls: elapsed(run, calls).wall


def sample(
    run: Callable[[], object],
    seconds: float,
    *,
    least: int = 1,
    most: float = math.inf,
    warm_seconds: float = 0.0,
) -> tuple[float, ...]:
    """Times single calls for a while.

    Args:
        run: what is called.
        seconds: how long.
        least: calls that are timed even if they take longer.
        most: calls after which it ends early.
        warm_seconds: how long it is called before, untimed.

    Returns:
        The seconds of each timed call.
    """
    end = time.perf_counter() + warm_seconds
    while time.perf_counter() < end:
        run()
    found: list[float] = []
    end = time.perf_counter() + seconds
    while len(found) < least or (time.perf_counter() < end and len(found) < most):
        found.append(elapsed(run).wall)
    return tuple(found)


def calls_for(seconds: float, sample_seconds: float = SAMPLE_SECONDS) -> int:
    """How many calls of so many seconds fill a sample."""
    return max(1, math.ceil(sample_seconds / max(seconds, _SHORTEST)))


def interleaved(contenders: Sequence[Seconds], rounds: int) -> list[Samples]:
    """Warms everything up and times it in turn.

    A round goes through all, and starts with another one each time; each sample follows an untimed call, because the one before has the
    caches.

    Args:
        contenders: what to time.
        rounds: samples of each, at least 1.
    """
    calls: list[int] = []
    for seconds in contenders:
        seconds(1)
        calls.append(calls_for(min(seconds(1) for _ in range(3))))
        seconds(calls[-1])
    samples: list[list[float]] = [[] for _ in contenders]
    places = range(len(contenders))
    for number in range(rounds):
        shift = number % max(len(contenders), 1)
        for i in (*places[shift:], *places[:shift]):
            contenders[i](1)
            samples[i].append(contenders[i](calls[i]) / calls[i])
    return [Samples(tuple(each), count) for each, count in zip(samples, calls, strict=True)]


class ProcessorBudget:
    """So many seconds of the processor from now on, all threads of this process together."""

    def __init__(self, seconds: float) -> None:
        self._end = time.process_time() + seconds

    @property
    def spent(self) -> bool:
        """Whether they are over."""
        return time.process_time() >= self._end
