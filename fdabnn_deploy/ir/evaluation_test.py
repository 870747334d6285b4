from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.ir import evaluation
from fdabnn_deploy.ir.evaluation import evaluate64, release, rows64
from fdabnn_deploy.ir.expression import Expression, literal, simplify

SHAPE = (5, 3, 2)
RNG = np.random.default_rng(0)
W = Expression("parameter", (), RNG.standard_normal(SHAPE).astype(np.float32), "w")


def call(function: str, *args: Any, shape: tuple[int, ...] = SHAPE) -> Expression:
    return Expression(function, args, np.zeros(shape, np.float32))


MEAN = call("mean", call("abs", W), [1, 2], True, shape=(5, 1, 1))
SCALAR = call("mean", W, shape=())
EXPRESSIONS = {
    "scaled signs": call("mul", call("where", call("lt", W, 0), -1, 1), MEAN),
    "a scale for all": call("mul", call("sign", W), SCALAR),
    "standardised": call(
        "sign", call("div", call("sub", W, MEAN), call("std", W, [1, 2], False, True, shape=(5, 1, 1)))
    ),
    "a threshold that float32 does not hold": call(
        "where", call("gt", W, 0.1), literal(np.array(1.5, np.float32)), -0.1
    ),
    "moved": call("view", call("mul", call("view", W, [5, 6], shape=(5, 6)), 3.0, shape=(5, 6)), list(SHAPE)),
    "unknown": call("mul", Expression("erf", (W,), np.tanh(W.value)), 0.1),
    "broadcast from one row": call("add", literal(W.value[:1]), call("neg", W)),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("at_once", [1, 12, 1000])
def test_rows_are_those_of_the_whole(name: str, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "_VALUES_AT_ONCE", at_once)
    whole = evaluate64(EXPRESSIONS[name])
    assert whole.dtype == np.float64
    parts = list(rows64(EXPRESSIONS[name]))
    np.testing.assert_array_equal(np.concatenate([values for _, values in parts]), whole)
    assert [row for rows, _ in parts for row in range(rows.start, rows.stop)] == list(range(SHAPE[0]))


def test_float32_on_the_way_changes_nothing() -> None:
    w = W.value.astype(np.float64)
    mean = np.abs(w).mean(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(
        evaluate64(EXPRESSIONS["scaled signs"]), np.where(w < 0, -1, 1) * mean, rtol=1e-15
    )
    np.testing.assert_array_equal(
        evaluate64(EXPRESSIONS["a threshold that float32 does not hold"]), np.where(w > 0.1, 1.5, -0.1)
    )
    # 0.1 is no float32 value: a product in float32 would show it.
    np.testing.assert_array_equal(
        evaluate64(EXPRESSIONS["unknown"]), np.tanh(W.value).astype(np.float64) * 0.1
    )


def test_two_values_beside_a_threshold_are_told_apart() -> None:
    # float32(0.1) lies above 0.1: compared in float32 the two would be equal.
    w = Expression("parameter", (), np.full((1, 1), 0.1, np.float32), "w")
    assert evaluate64(call("gt", w, 0.1, shape=(1, 1))) == 1.0
    assert evaluate64(call("le", w, 0.1, shape=(1, 1))) == 0.0


def test_a_released_expression_computes_the_same() -> None:
    noise = Expression("sin", (W,), np.sin(W.value))
    zero = literal(np.zeros((), np.float32))
    noisy = Expression("mul", (noise, zero), np.zeros(SHAPE, np.float32))
    sign = Expression("sign", (W,), np.sign(W.value))
    total = Expression("add", (sign, noisy), np.sign(W.value))
    mean = Expression("mean", (W,), np.array(np.mean(W.value)))
    whole = Expression("mul", (total, mean), total.value * mean.value)
    released = release(whole)
    np.testing.assert_array_equal(evaluate64(simplify(released)), evaluate64(simplify(whole)))
    np.testing.assert_array_equal(released.value, whole.value)
    assert released.binarised
    assert released.parameters == whole.parameters
    memory = {node.function: node.value.strides for node in released if node.value.ndim}
    # Of the noise nothing is left, and of the sign only that it is one.
    assert memory["sin"] == memory["sign"] == memory["add"] == (0, 0, 0)


def test_values_that_nobody_can_compute_stay_with_a_released_expression() -> None:
    mystery = Expression("erf", (W,), np.tanh(W.value))
    whole = Expression("mul", (mystery, 2.0), 2 * mystery.value)
    np.testing.assert_array_equal(evaluate64(simplify(release(whole))), evaluate64(whole))
