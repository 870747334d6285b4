from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.evaluation import evaluate64, exact_sum
from fdabnn_deploy.ir.expression import Expression, literal, simplify


def parameter(*values: float) -> Expression:
    return Expression("parameter", (), np.array(values, dtype=np.float32), "w")


def call(function: str, *args: object) -> Expression:
    """An expression whose float32 value is its float64 one, rounded."""
    shape_only = Expression(function, args, np.zeros(()))
    values = _unchecked(shape_only)
    return Expression(function, args, values.astype(np.float32))


def _unchecked(expression: Expression) -> DoubleArray:
    from fdabnn_deploy.ir.evaluation import _FUNCTIONS

    args = [evaluate64(a) if isinstance(a, Expression) else a for a in expression.args]
    return np.asarray(_FUNCTIONS[expression.function](*args), dtype=np.float64)


def test_noise_times_zero_and_straight_through_terms_vanish() -> None:
    w = parameter(-2.0, 0.5, 3.0)
    scaled = call("mul", call("mean", call("abs", w)), call("sign", w))
    noisy = call("add", scaled, call("mul", literal(np.zeros(())), call("neg", w)))
    clipped = call("clamp", w, -1.0, 1.0)
    written = call("add", call("sub", noisy, clipped), clipped)
    assert simplify(written).function == "mul"
    np.testing.assert_array_equal(evaluate64(simplify(written)), np.array([-1, 1, 1]) * (5.5 / 3))
    assert written.binarised
    assert written.parameters == ("w",)


def test_a_sum_that_does_not_cancel_stays() -> None:
    w = parameter(1.0, -1.0)
    written = call("add", call("sign", w), call("clamp", w, -1.0, 1.0))
    assert simplify(written).function == "add"


def test_zero_that_came_from_a_sign_is_kept() -> None:
    w = parameter(0.0, 0.0)
    product = call("mul", call("sign", w), parameter(2.0, 2.0))
    assert simplify(product).function == "mul"


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40), st.randoms())
def test_means_do_not_depend_on_order(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = (evaluate64(call("mean", parameter(*v))) for v in (values, shuffled))
    assert float(first) == float(second)
    assert float(first) == math.fsum(np.array(values, dtype=np.float32).tolist()) / len(values)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_exact_sum_over_dimensions(a: int, b: int, c: int, keepdim: bool) -> None:
    values = np.random.default_rng(a * 100 + b * 10 + c).integers(-9, 9, (a, b, c)).astype(np.float64)
    np.testing.assert_array_equal(
        exact_sum(values, [0, 2], keepdim), values.sum(axis=(0, 2), keepdims=keepdim)
    )
    np.testing.assert_array_equal(exact_sum(values, -2, keepdim), values.sum(axis=1, keepdims=keepdim))
    np.testing.assert_array_equal(exact_sum(values), values.sum())


def test_an_unknown_function_contributes_the_captured_value() -> None:
    mystery = Expression("erf", (parameter(1.0),), np.array([0.25], dtype=np.float32))
    np.testing.assert_array_equal(evaluate64(call("mul", mystery, 4.0)), [1.0])


def test_what_is_computed_twice_cancels_and_what_only_looks_alike_does_not() -> None:
    w, v = (
        Expression("parameter", (), np.array(values, np.float32), name)
        for values, name in (([2.0, -3.0], "w"), ([1.0, 1.0], "v"))
    )
    sign = Expression("sign", (w,), np.sign(w.value))
    clamps = [Expression("clamp", (w, -1, 1), w.value.clip(-1, 1)) for _ in "ab"]
    difference = Expression("sub", (sign, clamps[0]), sign.value - clamps[0].value)
    assert simplify(Expression("add", (difference, clamps[1]), sign.value)).function == "sign"
    joined = [
        Expression("cat", ([Expression("abs", (part,), np.abs(part.value))], 0), np.abs(part.value))
        for part in (w, v)
    ]
    other = Expression("sub", (sign, joined[0]), sign.value - joined[0].value)
    assert simplify(Expression("add", (other, joined[1]), other.value + joined[1].value)).function == "add"
    noise = [Expression("rand", ([2],), np.array(values, np.float32)) for values in ([0.1, 0.2], [0.3, 0.4])]
    first = Expression("sub", (sign, noise[0]), sign.value - noise[0].value)
    assert simplify(Expression("add", (first, noise[1]), first.value + noise[1].value)).function == "add"
