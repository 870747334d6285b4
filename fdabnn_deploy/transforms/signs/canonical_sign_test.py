from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.transforms.base import Outcome
from fdabnn_deploy.transforms.pass_testing import Build, kinds
from fdabnn_deploy.transforms.signs.canonical_sign import canonical_sign

X = np.array([-2, -0.5, -1e-30, -0.0, 0.0, 1e-30, 0.5, 2], dtype=np.float32).reshape(-1, 1, 1, 1)
NAN = np.full((1, 1, 1, 1), np.nan, dtype=np.float32)


def rewritten(
    b: Build, output: str, x: FloatArray = X, sign_zero: SignZero = "plus"
) -> tuple[FloatArray, Outcome]:
    outcome = canonical_sign(b.graph(output), sign_zero)
    return evaluate(outcome.graph, [x])[0].reshape(-1), outcome


def as_written(b: Build, output: str, x: FloatArray = X) -> FloatArray:
    return evaluate(b.graph(output), [x])[0].reshape(-1).astype(np.float32)


@pytest.mark.parametrize(("sign_zero", "tie"), [("plus", 1), ("minus", -1), ("exact", 0)])
def test_torch_sign_at_zero(sign_zero: SignZero, tie: float) -> None:
    b = Build(1, 1, 1)
    values, outcome = rewritten(b, b(ops.TorchSign(), "x"), sign_zero=sign_zero)
    np.testing.assert_array_equal(values, [-1, -1, -1, tie, tie, 1, 1, 1])
    assert any("a zero counts as" in note for note in outcome.notes) == (sign_zero != "exact")


@pytest.mark.parametrize("relation", ["lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("threshold", [0.0, -0.5, 2.0])
def test_comparisons_mean_what_they_say(relation: str, swapped: bool, threshold: float) -> None:
    b = Build(1, 1, 1)
    t = b.constant(threshold)
    condition = b(ops.Compare(relation), *((t, "x") if swapped else ("x", t)))
    one, minus_one = b.constant(1.0), b.constant(-1.0)
    for output in (
        b(ops.Where(), condition, one, minus_one),
        b(ops.Sub(), b(ops.Mul(), b(ops.ToFloat(), condition), b.constant(2.0)), one),
        b(ops.ToFloat(), b(ops.LogicalNot(), condition)),
        b(ops.Where(), condition, b.constant(0.7), b.constant(0.1)),
    ):
        values, outcome = rewritten(b, output)
        np.testing.assert_array_equal(values, as_written(b, output))
        assert not outcome.notes


@pytest.mark.parametrize(("relation", "if_true"), [("lt", -1.0), ("gt", 1.0)])
def test_strict_comparisons_are_false_for_nan(relation: str, if_true: float) -> None:
    b = Build(1, 1, 1)
    for threshold in (0.0, 0.5):
        condition = b(ops.Compare(relation), "x", b.constant(threshold))
        output = b(ops.Where(), condition, b.constant(if_true), b.constant(-if_true))
        np.testing.assert_array_equal(rewritten(b, output, NAN)[0], [-if_true])


def test_a_sign_of_two_values_is_one_operator() -> None:
    b = Build(1, 1, 1)
    condition = b(ops.Compare("ge"), "x", b.constant(0.0))
    outcome = rewritten(
        b, b(ops.Sub(), b(ops.Mul(), b(ops.ToFloat(), condition), b.constant(2.0)), b.constant(1.0))
    )[1]
    assert kinds(outcome.graph) == ["Input", "Sign"]


def test_thresholds_and_values_per_channel() -> None:
    b = Build(3, 1, 1)
    x = np.array([[-1, 0, 1], [0, 0.5, 0], [1, 1, -2]], dtype=np.float32).reshape(3, 3, 1, 1)
    condition = b(ops.Compare("gt"), "x", b.constant(np.array([0, 0.5, -2]).reshape(1, 3, 1, 1)))
    values = b.constant(np.array([1, 2, 3]).reshape(1, 3, 1, 1))
    output = b(ops.Where(), condition, values, b.constant(-1.0))
    np.testing.assert_array_equal(rewritten(b, output, x)[0], as_written(b, output, x))


def test_comparison_of_two_tensors() -> None:
    b = Build(2, 2, 1)
    x = np.random.default_rng(0).integers(-2, 3, size=(50, 2, 2, 1)).astype(np.float32)
    doubled = b(ops.Mul(), "x", "x")
    for relation in ("lt", "le", "gt", "ge", "eq", "ne"):
        output = b(ops.ToFloat(), b(ops.Compare(relation), "x", doubled))
        np.testing.assert_array_equal(rewritten(b, output, x)[0], as_written(b, output, x))


Spelling = Callable[[Build, str], str]


def _sign_where_zero_is(value: float, test: str) -> Spelling:
    """`y = sign(x); y[test == 0] = value`."""

    def spell(b: Build, sign: str) -> str:
        equal = b(ops.Compare("eq"), sign if test == "sign" else "x", b.constant(0.0))
        return b(ops.Where(), equal, b.constant(value), sign)

    return spell


def _mended_before(value: float) -> Spelling:
    """`x[x == 0] = value; sign(x)`."""

    def spell(b: Build, sign: str) -> str:
        equal = b(ops.Compare("eq"), "x", b.constant(0.0))
        return b(ops.TorchSign(), b(ops.Where(), equal, b.constant(value), "x"))

    return spell


def _assigned_twice(b: Build, sign: str) -> str:
    """`y = x.clone(); y[x >= 0] = 1; y[x < 0] = -1`."""
    zero = b.constant(0.0)
    first = b(ops.Where(), b(ops.Compare("ge"), "x", zero), b.constant(1.0), "x")
    return b(ops.Where(), b(ops.Compare("lt"), "x", zero), b.constant(-1.0), first)


MENDED: dict[str, tuple[Spelling, float]] = {
    "y[y == 0] = 1": (_sign_where_zero_is(1.0, "sign"), 1),
    "y[x == 0] = 1": (_sign_where_zero_is(1.0, "x"), 1),
    "y[y == 0] = -1": (_sign_where_zero_is(-1.0, "sign"), -1),
    "y[x == 0] = -1": (_sign_where_zero_is(-1.0, "x"), -1),
    "x[x == 0] = 0.1": (_mended_before(0.1), 1),
    "x[x == 0] = -3": (_mended_before(-3.0), -1),
    "sign(y + 0.1)": (lambda b, sign: b(ops.TorchSign(), b(ops.Add(), sign, b.constant(0.1))), 1),
    "sign(y - 0.5)": (lambda b, sign: b(ops.TorchSign(), b(ops.Sub(), sign, b.constant(0.5))), -1),
    "y + (x == 0)": (lambda b, sign: b(ops.Add(), sign, b(ops.ToFloat(), b(ops.Compare("eq"), "x", b.constant(0.0)))), 1),
    "(y == 0) + y": (lambda b, sign: b(ops.Add(), b(ops.Compare("eq"), sign, b.constant(0.0)), sign), 1),
    "y - (y == 0)": (lambda b, sign: b(ops.Sub(), sign, b(ops.Compare("eq"), sign, b.constant(0.0))), -1),
    "clamp(2 y + 1, -1, 1)": (
        lambda b, sign: b(ops.Clamp(-1, 1), b(ops.Add(), b(ops.Mul(), sign, b.constant(2.0)), b.constant(1.0))), 1
    ),
    "assigned twice": (_assigned_twice, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", MENDED)
@pytest.mark.parametrize("sign_zero", ["plus", "minus", "exact"])
def test_signs_that_mend_zero_are_one_sign(name: str, sign_zero: SignZero) -> None:
    spell, tie = MENDED[name]
    b = Build(1, 1, 1)
    output = spell(b, b(ops.TorchSign(), "x"))
    values, outcome = rewritten(b, output, sign_zero=sign_zero)
    np.testing.assert_array_equal(values, [-1, -1, -1, tie, tie, 1, 1, 1])
    np.testing.assert_array_equal(values, as_written(b, output))
    assert kinds(outcome.graph).count("Sign") == 1
    assert "TorchSign" not in kinds(outcome.graph)
    assert not outcome.notes


def _difference(b: Build) -> str:
    zero = b.constant(0.0)
    return b(
        ops.Sub(),
        b(ops.ToFloat(), b(ops.Compare("gt"), "x", zero)),
        b(ops.ToFloat(), b(ops.Compare("lt"), "x", zero)),
    )


def _nested(b: Build) -> str:
    zero = b.constant(0.0)
    inner = b(ops.Where(), b(ops.Compare("lt"), "x", zero), b.constant(-1.0), zero)
    return b(ops.Where(), b(ops.Compare("gt"), "x", zero), b.constant(1.0), inner)


@pytest.mark.parametrize("spell", [_difference, _nested])
@pytest.mark.parametrize(("sign_zero", "tie"), [("plus", 1), ("minus", -1), ("exact", 0)])
def test_other_spellings_of_torch_sign(
    spell: Callable[[Build], str], sign_zero: SignZero, tie: float
) -> None:
    b = Build(1, 1, 1)
    values, outcome = rewritten(b, spell(b), sign_zero=sign_zero)
    np.testing.assert_array_equal(values, [-1, -1, -1, tie, tie, 1, 1, 1])
    assert kinds(outcome.graph).count("TorchSign") == (sign_zero == "exact")


def test_logic_of_one_comparison_is_one_sign_or_two() -> None:
    b = Build(1, 1, 1)
    zero = b.constant(0.0)
    greater, equal = b(ops.Compare("gt"), "x", zero), b(ops.Compare("eq"), "x", zero)
    for function, number in (("or", 1), ("xor", 1), ("and", 1)):
        output = b(ops.ToFloat(), b(ops.Logical(function), greater, equal))
        values, outcome = rewritten(b, output)
        np.testing.assert_array_equal(values, as_written(b, output))
        assert kinds(outcome.graph).count("Sign") == number


def test_equal_comparisons_share_their_difference() -> None:
    b = Build(1, 1, 1)
    greater = b(ops.ToFloat(), b(ops.Compare("gt"), "x", b.constant(0.5)))
    again = b(ops.ToFloat(), b(ops.Compare("gt"), "x", b.constant(0.5)))
    output = b(ops.Maximum(), b(ops.Mul(), greater, "x"), b(ops.Mul(), again, b(ops.Unary("neg"), "x")))
    values, outcome = rewritten(b, output)
    np.testing.assert_array_equal(values + 0.0, as_written(b, output) + 0.0)
    assert kinds(outcome.graph).count("Sub") == 1


def test_a_threshold_that_enlarges_the_tensor_stays_as_it_is() -> None:
    b = Build(1, 2, 1)
    outcome = canonical_sign(b.graph(b(ops.ToFloat(), b(ops.Compare("gt"), "x", b.constant([[0.0], [1.0]])))))
    # One number per row: made of a sign, for a later pass to say that it varies within a channel.
    assert "Sign" in kinds(outcome.graph)
    wide = b(ops.ToFloat(), b(ops.Compare("gt"), "x", b.constant(np.zeros((1, 3, 1, 1)))))
    assert "Sign" in kinds(canonical_sign(b.graph(wide)).graph)
