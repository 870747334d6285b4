from __future__ import annotations

import math

import numpy as np
import pytest

from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.verify.gate.float32_program import SingleProgram
from fdabnn_deploy.verify.gate.float64_program import DoubleProgram
from fdabnn_deploy.verify.gate.results import OutputCheck
from fdabnn_deploy.verify.gate.whole_network import change, check_whole


class Program(DoubleProgram):
    """Gives prepared outputs instead of computing them, and counts what was asked for."""

    def __init__(self, *outputs: FloatArray) -> None:
        self.outputs, self.asked = outputs, 0

    def run(
        self, images: FloatArray, seen: object = None
    ) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        start = self.asked
        self.asked += len(images)
        return [output[start : self.asked].astype(np.float64) for output in self.outputs]


class Single(SingleProgram):
    """Likewise, in float32."""

    def __init__(self, *outputs: FloatArray) -> None:
        self.outputs, self.asked = outputs, 0

    def run(self, images: FloatArray) -> list[FloatArray]:
        start = self.asked
        self.asked += len(images)
        return [output[start : self.asked] for output in self.outputs]


def scores(decisions: list[int]) -> FloatArray:
    """Class scores [N, 3] with these decisions."""
    return np.eye(3, dtype=np.float32)[decisions]


def flipped(count: int, total: int) -> FloatArray:
    """The same as `scores([0] * total)`, but for the first so many."""
    return scores([1] * count + [0] * (total - count))


def judge(differing: int, moved: int, total: int) -> tuple[OutputCheck, int]:
    program = Program(flipped(moved, total))
    (row,) = check_whole(
        ["output"],
        [flipped(0, total)],
        [flipped(differing, total)],
        program,
        np.zeros((total, 1), np.float32),
    )
    return row, program.asked


@pytest.mark.parametrize(
    ("differing", "moved", "total", "limit", "passed"),
    [
        (0, 9, 200, 1, True),
        (1, 9, 200, 1, True),
        (1, 0, 4, 1, True),
        (2, 0, 200, 1, False),
        (2, 0, 400, 2, True),
        (3, 0, 599, 2, False),
        (3, 0, 600, 3, True),
        (2, 1, 200, 3, True),
        (4, 1, 200, 3, False),
        (12, 4, 200, 12, True),
        (13, 4, 200, 12, False),
    ],
)
def test_decisions(differing: int, moved: int, total: int, limit: int, passed: bool) -> None:
    row, asked = judge(differing, moved, total)
    assert row.limit is not None
    assert (row.judged_by, row.differing, round(row.limit * total), row.passed) == (
        "decisions",
        differing,
        limit,
        passed,
    )
    # float64 is computed only where it is needed.
    assert asked == (total if differing > max(1, total // 200) else 0)


def test_nothing_is_judged_where_arithmetic_moves_more_than_two_in_a_hundred() -> None:
    row, asked = judge(100, 5, 200)
    assert (row.limit, row.passed) == (None, True)
    assert row.arithmetic == 5 / 200
    # It stops as soon as that is seen.
    assert asked == 6
    assert judge(100, 4, 200)[0].limit == 12 / 200


def test_arithmetic_is_measured_between_both_forms_of_the_program() -> None:
    # The module decides 50 samples otherwise than its program, which float32 does not move.
    (row,) = check_whole(
        ["output"],
        [flipped(0, 200)],
        [flipped(50, 200)],
        Program(flipped(50, 200)),
        np.zeros((200, 1), np.float32),
        Single(flipped(50, 200)),
    )
    assert (row.arithmetic, row.limit, row.passed) == (0.0, 1 / 200, False)


def test_other_outputs_are_judged_by_their_mean_change() -> None:
    rng = np.random.default_rng(0)
    first, maps = scores([0, 1] * 10), rng.uniform(0, 2, (20, 2, 5, 5)).astype(np.float32)
    maps[0, 0, 0, :2] = 0, 2
    for offset, passed in ((0.0, True), (0.0199, True), (0.021, False)):
        rows = check_whole(
            ["output_0", "output_1"],
            [first, maps],
            [first, maps + np.float32(offset)],
            Program(first, maps),
            np.zeros((20, 1), np.float32),
        )
        assert [row.judged_by for row in rows] == ["decisions", "values"]
        assert rows[1].change == pytest.approx(offset / 2, abs=1e-6)
        assert rows[1].passed is passed
    # Arithmetic moves it by 0.5 %, so 1.5 % may change.
    (_, row) = check_whole(
        ["a", "b"],
        [first, maps],
        [first, maps + np.float32(0.025)],
        Program(first, maps + np.float32(0.01)),
        np.zeros((20, 1), np.float32),
    )
    assert row.passed
    assert row.limit == pytest.approx(0.015, abs=1e-5)


def test_a_single_value_per_sample_is_no_class_score() -> None:
    single = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    (row,) = check_whole(
        ["output"], [single], [single + np.float32(0.001)], Program(single), np.zeros((50, 1), np.float32)
    )
    assert (row.judged_by, row.passed) == ("values", True)


def test_what_is_no_number_changes_everything() -> None:
    a = np.arange(6, dtype=np.float32)[:, None]
    b = a.copy()
    b[2] = np.nan
    assert change(0, a, b) == math.inf
    assert change(0, b, b) == 0
    two = np.array([[1.0, 2.0], [np.nan, 1.0]], np.float32)
    assert change(0, two, two) == 0
    assert change(0, two, np.nan_to_num(two)) == 0.5


def test_outputs_that_are_all_the_same_are_measured_by_their_size() -> None:
    same = np.full((4, 1), 5, np.float32)
    assert change(0, same, same + 1) == pytest.approx(0.2)
    assert change(0, np.zeros((4, 1), np.float32), same) == math.inf
    assert change(0, np.zeros((4, 1), np.float32), np.zeros((4, 1), np.float32)) == 0
