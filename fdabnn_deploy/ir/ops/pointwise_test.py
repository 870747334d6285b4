from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.ops import (
    BATCH,
    Add,
    Affine,
    Clamp,
    FloatArray,
    GraphError,
    Maximum,
    Mul,
    Op,
    PRelu,
    Relu,
    Softmax,
    Sub,
)


def f32(*values: float) -> FloatArray:
    return np.array([values], dtype=np.float32)


def test_affine_rounds_twice() -> None:
    # 1 + 2^-23 times 1 + 2^-23 needs a bit more than float32 has; a fused multiply-add would keep it.
    a = 1 + 2.0**-23
    y = Affine(np.array([a]), np.array([-1.0])).reference(f32(a))
    assert y.dtype == np.float32
    assert y.item() == 2.0**-22
    assert a * a - 1 != 2.0**-22


def test_affine_is_per_channel_at_any_rank() -> None:
    op = Affine(np.array([2.0, -3.0]), np.array([1.0, 0.0]))
    assert op.reference(f32(1, 1)).tolist() == [[3, -3]]
    assert op.reference(np.ones((1, 2, 1, 2), dtype=np.float32)).tolist() == [[[[3, 3]], [[-3, -3]]]]


def test_affine_halves_that_do_nothing_in_float32() -> None:
    nothing = Affine(np.array([1 + 1e-12]), np.array([1e-60]))
    assert (nothing.has_scale, nothing.has_offset) == (False, False)
    both = Affine(np.array([1.0, 1.5]), np.array([0.0, -1.0]))
    assert (both.has_scale, both.has_offset) == (True, True)
    # x + 0 would turn -0 into +0.
    assert np.signbit(nothing.reference(f32(-0.0))).all()


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (PRelu(np.array(0.5, dtype=np.float32)), [-1, 0, 3]),
        (PRelu(np.array([0.5, 1, 2], dtype=np.float32)), [-1, 0, 3]),
        (PRelu(np.array([-1.0, 1, 2], dtype=np.float32)), [2, 0, 3]),
        (Relu(), [0, 0, 3]),
        (Clamp(-1.0, 2.0), [-1, 0, 2]),
        (Clamp(0.1, 0.1), [np.float32(0.1)] * 3),
    ],
)
def test_activations(op: Op, expected: list[float]) -> None:
    y = op.reference(f32(-2, 0, 3))
    assert y.dtype == np.float32
    assert y.tolist() == [expected]


@pytest.mark.parametrize(("op", "expected"), [(Add(), 5), (Sub(), -1), (Mul(), 6), (Maximum(), 3)])
def test_two_inputs(op: Op, expected: float) -> None:
    assert op.reference(f32(2), f32(3)).tolist() == [[expected]]
    assert op.infer((BATCH, 4, 1), (BATCH, 1, 5)) == (BATCH, 4, 5)
    with pytest.raises(GraphError, match="do not broadcast"):
        op.infer((BATCH, 4), (BATCH, 5))


def test_softmax_survives_large_values() -> None:
    assert Softmax().reference(f32(1000, 1000)).tolist() == [[0.5, 0.5]]
    assert Softmax(log=True).reference(f32(-1e6, 0)).tolist() == [[-1e6, 0]]
    assert np.isclose(Softmax().reference(f32(1, 2, 3)).sum(), 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Affine(np.ones(2), np.ones(3)), "affine parameters"),
        (lambda: Affine(np.ones(2, dtype=np.float32), np.ones(2)), "float64"),
        (lambda: Affine(np.ones(2), np.ones(2)).infer((BATCH, 3)), "affine of shape"),
        (lambda: PRelu(np.ones(2)), "float32"),  # type: ignore[arg-type]
        (lambda: PRelu(np.ones(2, dtype=np.float32)).infer((BATCH, 3, 2, 2)), "PReLU of shape"),
        (lambda: Clamp(1.0, 0.0), "clamp limits"),
        (lambda: Clamp(float("nan"), 0.0), "clamp limits"),
        (lambda: Softmax().infer((BATCH, 3, 2)), "softmax takes"),
    ],
)
def test_what_is_refused(make: object, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        make()  # type: ignore[operator]
