from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.ops import Add, Div, Maximum, Mul, Op, Sub, Unary
from fdabnn_deploy.transforms.affine.fold_constants import fold_constants
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds

VECTOR = np.array([0.5, -2.0, 4.0], dtype=np.float32).reshape(1, 3, 1, 1)


@pytest.mark.parametrize("op", [Add(), Sub(), Mul()])
@pytest.mark.parametrize("constant", [np.float32(3.0), VECTOR, VECTOR[0]])
@pytest.mark.parametrize("first", [False, True])
def test_arithmetic_becomes_affine(op: Op, constant: object, first: bool) -> None:
    b = Build(3, 2, 2)
    c = b.constant(constant)
    outcome = check(fold_constants, b.graph(b(op, *((c, "x") if first else ("x", c)))), applied=1)
    assert kinds(outcome.graph) == ["Input", "Affine"]


def test_division_negation_and_maximum() -> None:
    b = Build(3, 2, 2)
    halved = b(Div(), b(Unary("neg"), "x"), b.constant(2.0))
    outcome = check(fold_constants, b.graph(b(Maximum(), halved, b.constant(-0.25))), applied=3)
    assert kinds(outcome.graph) == ["Input", "Affine", "Affine", "Clamp"]


def test_a_constant_that_enlarges_is_explained() -> None:
    b = Build(3, 2, 1)
    outcome = check(fold_constants, b.graph(b(Mul(), "x", b.constant(np.ones((1, 3, 2, 5))))), applied=0)
    assert "enlarges the tensor" in outcome.skipped[0]


@pytest.mark.parametrize("constant", [VECTOR, np.arange(4).reshape(1, 1, 2, 2)])
@pytest.mark.parametrize("first", [False, True])
def test_maximum_with_numbers_that_differ(constant: object, first: bool) -> None:
    b = Build(3, 2, 2)
    c = b.constant(constant)
    outcome = check(fold_constants, b.graph(b(Maximum(), *((c, "x") if first else ("x", c)))), applied=1)
    affine = "Affine" if constant is VECTOR else "PositionAffine"
    assert kinds(outcome.graph) == ["Input", affine, "Maximum"]


def test_constant_over_tensor_is_explained() -> None:
    b = Build(3, 2, 2)
    assert "divided by a tensor" in fold_constants(b.graph(b(Div(), b.constant(1.0), "x"))).skipped[0]


@pytest.mark.parametrize("op", [Add(), Sub(), Mul(), Div()])
@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (3, 2, 1), (1, 3, 1, 2)])
def test_constants_that_vary_within_a_channel(op: Op, shape: tuple[int, ...]) -> None:
    b = Build(3, 2, 2)
    constant = b.constant(2.0 ** np.arange(np.prod(shape)).reshape(shape))
    outcome = check(fold_constants, b.graph(b(op, "x", constant)), applied=1)
    assert kinds(outcome.graph) == ["Input", "PositionAffine"]
