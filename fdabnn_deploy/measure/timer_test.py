from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from fdabnn_deploy.measure import timer
from fdabnn_deploy.measure.timer import Samples, Seconds


class Counted:
    """Sleeps for a known time, and counts how often it is called."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        time.sleep(self.seconds)


def test_all_calls_are_timed_together() -> None:
    run = Counted(0.004)
    found = timer.elapsed(run, 3)
    assert run.calls == 3
    assert 0.012 <= found.wall < 0.12
    # Sleeping costs no processor.
    assert found.processor < found.wall
    assert timer.looped(run)(2) >= 0.008


def test_processors_are_counted() -> None:
    assert timer.elapsed(lambda: sum(range(300_000)), 20).processor > 0


def test_single_calls_are_timed_for_a_while() -> None:
    run = Counted(0.002)
    found = timer.sample(run, 0.05, warm_seconds=0.01)
    assert 1 <= len(found) <= 25
    assert run.calls > len(found)
    assert min(found) >= 0.002


@pytest.mark.parametrize(("least", "most", "count"), [(4, 100, 4), (1, 2, 2)])
def test_the_number_of_calls_has_bounds(least: int, most: int, count: int) -> None:
    run = Counted(0.004)
    assert len(timer.sample(run, 0.0 if least > 1 else 1.0, least=least, most=most)) == count == run.calls


def test_samples_are_filled() -> None:
    assert timer.calls_for(1e-3, 2.5e-3) == 3
    assert timer.calls_for(5e-3, 2e-3) == 1
    assert timer.calls_for(0, 2e-3) > 1


def test_contenders_take_turns_and_each_sample_is_warmed() -> None:
    log: list[tuple[str, int]] = []

    def contender(name: str, seconds: float) -> Seconds:
        def run(calls: int) -> float:
            log.append((name, calls))
            return seconds * calls

        return run

    found = timer.interleaved([contender("a", 1e-3), contender("b", 4e-3)], rounds=3)
    timed = [entry for entry in log if entry[0] == "a" and entry[1] == 2]
    assert len(timed) == 1 + 3
    assert log[-12:] == [
        *(("a", 1), ("a", 2), ("b", 1), ("b", 1)),
        *(("b", 1), ("b", 1), ("a", 1), ("a", 2)),
        *(("a", 1), ("a", 2), ("b", 1), ("b", 1)),
    ]
    assert found == [Samples((1e-3,) * 3, 2), Samples((4e-3,) * 3, 1)]
    empty: list[Callable[[int], float]] = []
    assert timer.interleaved(empty, rounds=2) == []
