from __future__ import annotations

import numpy as np
import pytest
import torch

from fdabnn_deploy.ir.ops import (
    BATCH,
    BatchNorm,
    Compare,
    Constant,
    Div,
    FloatArray,
    GraphError,
    LogicalNot,
    ToFloat,
    TorchSign,
    Unary,
    Where,
)

X: FloatArray = np.array([[-2.0, -0.0, 0.0, 0.5]], dtype=np.float32)


def test_torch_sign_keeps_zeros_and_nan() -> None:
    assert TorchSign().reference(X).tolist() == [[-1, 0, 0, 1]]
    assert np.isnan(TorchSign().reference(np.array([np.nan], dtype=np.float32))).all()


@pytest.mark.parametrize(
    ("relation", "expected"),
    [
        ("lt", [True, False, False, False]),
        ("le", [True, True, True, False]),
        ("gt", [False, False, False, True]),
        ("ge", [False, True, True, True]),
        ("eq", [False, True, True, False]),
        ("ne", [True, False, False, True]),
    ],
)
def test_comparisons(relation: str, expected: list[bool]) -> None:
    y = Compare(relation).reference(X, np.zeros((), dtype=np.float32))
    assert y.dtype == np.bool_
    assert y.tolist() == [expected]
    assert LogicalNot().reference(y).tolist() == [[not value for value in expected]]
    assert ToFloat().reference(y).tolist() == [[float(value) for value in expected]]


def test_where_takes_broadcast_inputs() -> None:
    assert Where().reference(X < 0, -np.ones((), dtype=np.float32), X).tolist() == [[-1, 0, 0, 0.5]]
    assert Where().infer((BATCH, 4), (), (1, 4)) == (BATCH, 4)


def test_constants_have_no_batch() -> None:
    assert Constant(np.ones((3, 1))).infer() == (3, 1)
    assert Constant(np.ones(())).infer() == ()


@pytest.mark.parametrize("function", sorted(Unary.FUNCTIONS))
def test_functions_are_pytorchs(function: str) -> None:
    x = np.array([0.25, 1.0, 3.5], dtype=np.float32)
    y = Unary(function).reference(x)
    assert y.dtype == np.float32
    assert np.allclose(y, getattr(torch, function)(torch.tensor(x)).numpy(), rtol=1e-6)


def test_unknown_functions_and_relations() -> None:
    with pytest.raises(GraphError, match="unknown function cos"):
        Unary("cos")
    with pytest.raises(GraphError, match="unknown relation =="):
        Compare("==")


def test_division() -> None:
    y = Div().reference(X, np.full((1, 4), 3, dtype=np.float32))
    assert y.dtype == np.float32
    assert np.array_equal(y, X / np.float32(3))


def test_batch_norm_is_pytorchs() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5), dtype=np.float32)
    mean, var, gamma, beta = rng.normal(size=3), rng.random(3), rng.normal(size=3), rng.normal(size=3)
    op = BatchNorm(mean, var, gamma, beta, 1e-3)
    running_mean, running_var, weight, bias = (torch.tensor(value) for value in (mean, var, gamma, beta))
    expected = torch.nn.functional.batch_norm(
        torch.tensor(x, dtype=torch.float64), running_mean, running_var, weight, bias, eps=1e-3
    )
    y = op.reference(x)
    assert y.dtype == np.float32
    assert np.allclose(y, expected.numpy(), rtol=1e-6, atol=1e-6)
    assert op.infer((BATCH, 3, 4, 5)) == (BATCH, 3, 4, 5)
    with pytest.raises(GraphError, match="batch norm"):
        op.infer((BATCH, 4, 4, 5))
