from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ops import Add, Compare, FloatArray, LogicalNot, Mul, Sub, ToFloat, TorchSign, Where
from fdabnn_deploy.passes.base import Outcome
from fdabnn_deploy.passes.canonical_sign import canonical_sign
from fdabnn_deploy.passes.pass_testing import Build
from fdabnn_deploy.reference import evaluate

X = np.array([-2, -0.5, -0.0, 0.0, 0.5, 2, np.nan], dtype=np.float32).reshape(7, 1, 1, 1)
RULE = np.array([-1, -1, 1, 1, 1, 1, 1], dtype=np.float32)


def rewritten(b: Build, output: str) -> tuple[FloatArray, Outcome]:
    outcome = canonical_sign(b.graph(output))
    return evaluate(outcome.graph, [X])[0].reshape(-1), outcome


def test_torch_sign_gets_the_rule_and_says_so() -> None:
    b = Build(1, 1, 1)
    values, outcome = rewritten(b, b(TorchSign(), "x"))
    np.testing.assert_array_equal(values, RULE)
    assert "a zero counts as +1" in outcome.notes[0]


@pytest.mark.parametrize(
    ("relation", "if_true", "if_false", "tie"),
    [("lt", -1, 1, False), ("ge", 1, -1, False), ("gt", 1, -1, True), ("le", -1, 1, True)],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_where_on_comparisons(
    relation: str, if_true: float, if_false: float, tie: bool, swapped: bool
) -> None:
    b = Build(1, 1, 1)
    mirror = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}
    zero = b.constant(0.0)
    condition = b(Compare(mirror[relation]), zero, "x") if swapped else b(Compare(relation), "x", zero)
    values, outcome = rewritten(b, b(Where(), condition, b.constant(if_true), b.constant(if_false)))
    np.testing.assert_array_equal(values, RULE)
    assert bool(outcome.notes) == tie


def test_negated_comparison_and_inverted_values() -> None:
    b = Build(1, 1, 1)
    condition = b(LogicalNot(), b(Compare("lt"), "x", b.constant(0.0)))
    values, _ = rewritten(b, b(Where(), condition, b.constant(-3.0), b.constant(3.0)))
    np.testing.assert_array_equal(values, -3 * RULE)


def test_boolean_as_number_and_arithmetic() -> None:
    b = Build(1, 1, 1)
    number = b(ToFloat(), b(Compare("ge"), "x", b.constant(0.0)))
    values, outcome = rewritten(b, b(Sub(), b(Mul(), number, b.constant(2.0)), b.constant(1.0)))
    np.testing.assert_array_equal(values, RULE)
    assert outcome.applied == 1


def test_threshold_other_than_zero() -> None:
    b = Build(1, 1, 1)
    condition = b(Compare("lt"), "x", b.constant(0.5))
    values, _ = rewritten(b, b(Where(), condition, b.constant(-1.0), b.constant(1.0)))
    np.testing.assert_array_equal(values, [-1, -1, -1, -1, 1, 1, 1])


def test_zero_free_spellings_of_torch_sign() -> None:
    b = Build(1, 1, 1)
    sign = b(TorchSign(), "x")
    shifted = b(TorchSign(), b(Add(), sign, b.constant(0.1)))
    equal = b(ToFloat(), b(Compare("eq"), "x", b.constant(0.0)))
    for output in (shifted, b(Add(), equal, sign), b(Add(), sign, equal)):
        np.testing.assert_array_equal(rewritten(b, output)[0], RULE)


def test_where_between_tensors_is_explained() -> None:
    b = Build(1, 1, 1)
    outcome = canonical_sign(
        b.graph(b(Where(), b(Compare("lt"), "x", b.constant(0.0)), "x", b.constant(1.0)))
    )
    assert outcome.applied == 0
    assert "chooses between tensors" in outcome.skipped[0]
