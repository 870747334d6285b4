from __future__ import annotations

import os

import numpy as np
import pytest

from bench import measure
from bench.measure import Contender, Row, Timing


def row(name: str, group: str, median: float | None) -> Row:
    timed = None if median is None else Timing(median, median, median, median, 1, 1)
    return Row(name, group, timed, "" if timed else "differs", {})


def test_statistics_are_of_microseconds_per_call() -> None:
    found = measure.timing([k * 1e-6 for k in range(11, 0, -1)], 7)
    assert found.median == pytest.approx(6)
    assert (found.p10, found.p90, found.best) == pytest.approx((2, 10, 1))
    assert (found.rounds, found.calls) == (11, 7)
    assert measure.timing([2e-6], 1) == Timing(2, 2, 2, 2, 1, 1)


def test_rows_have_the_times_of_their_contenders() -> None:
    contenders = [Contender("a", "ours", lambda n: 1e-3 * n), Contender("b", "ours", lambda n: 4e-3 * n)]
    rows = measure.run_interleaved(contenders, rounds=3)
    assert [(r.name, r.timing.rounds, r.timing.calls) for r in rows if r.timing] == [("a", 3, 2), ("b", 3, 1)]
    assert [r.timing.median for r in rows if r.timing] == pytest.approx([1000, 4000])


def test_what_is_not_equal_is_not_timed() -> None:
    calls: list[int] = []

    def run(count: int) -> float:
        calls.append(count)
        return 1e-3

    expected = np.zeros((2, 2), np.float32)
    found = np.array([[0, 0], [0, 1e-9]], np.float32)
    wrong = Contender("wrong", "fp32", run, lambda: found, expected)
    rows = measure.run_interleaved([wrong], rounds=5)
    assert rows[0].timing is None
    assert rows[0].reason == "1 of 4 values differ"
    assert calls == [1]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (np.array([0.0, 1.0], np.float32), ""),
        (np.array([-0.0, 1.0], np.float32), ""),
        (np.array([0.0, np.nextafter(np.float32(1), np.float32(2))], np.float32), "1 of 2 values differ"),
        (np.array([0.0, np.nan], np.float32), "1 of 2 values differ"),
        (np.array([0.0, 1.0], np.float64), "gives float64 (2,) instead of float32 (2,)"),
        (np.array([[0.0, 1.0]], np.float32), "gives float32 (1, 2) instead of float32 (2,)"),
    ],
)
def test_differences_are_of_bits(found: measure.Array, text: str) -> None:
    assert measure.difference(found, np.array([0.0, 1.0], np.float32)) == text


def test_ratios_take_the_best_of_a_group_and_tell_missing_ones() -> None:
    rows = [row("x", "fp32", 30), row("y", "fp32", 20), row("z", "fp32", None), row("w", "int8", None)]
    assert measure.best(rows, "fp32") == rows[1]
    assert measure.best(rows, "int8") is None
    assert measure.named(rows, "x") == rows[0]
    assert measure.named(rows, "z") is None
    assert measure.ratio(rows[0], rows[1]) == 1.5
    assert measure.ratio(None, rows[1]) is None


def test_pinning_ends() -> None:
    before = os.sched_getaffinity(0)
    one = min(before)
    with measure.pinned([one]):
        assert os.sched_getaffinity(0) == {one}
    assert os.sched_getaffinity(0) == before
