from __future__ import annotations

import numpy as np
import pytest
import torch

from fdabnn_deploy.frontend.capture.integers import Limits, check_type, limits_of
from fdabnn_deploy.ir.ops import (
    Add,
    Compare,
    Constant,
    Div,
    GraphError,
    Logical,
    Maximum,
    Mul,
    Op,
    Relu,
    Sub,
    ToFloat,
    TorchSign,
    Unary,
    Where,
)


@pytest.mark.parametrize(
    ("op", "inputs", "limits"),
    [
        (TorchSign(), [None], (-1, 1)),
        (Compare("gt"), [None, None], (0, 1)),
        (Logical("or"), [(0, 1), (0, 1)], (0, 1)),
        (ToFloat(), [(0, 1)], (0, 1)),
        (ToFloat(), [None], None),
        (Constant(np.array([3.0, -2.0])), [], (-2, 3)),
        (Constant(np.array(0.5)), [], None),
        (Constant(np.array(np.inf)), [], None),
        (Add(), [(0, 1), (-2, 3)], (-2, 4)),
        (Sub(), [(0, 1), (-2, 3)], (-3, 3)),
        (Mul(), [(-2, 1), (-3, 2)], (-4, 6)),
        (Mul(), [(-2, 1), None], None),
        (Maximum(), [(-2, 1), (0, 0)], (0, 1)),
        (Relu(), [(-2, 1)], (0, 1)),
        (Where(), [(0, 1), (-1, -1), (5, 7)], (-1, 7)),
        (Where(), [(0, 1), (-1, -1), None], None),
        (Unary("neg"), [(-2, 1)], (-1, 2)),
        (Unary("abs"), [(-2, 1)], (0, 2)),
        (Unary("square"), [(-3, 2)], (0, 9)),
        (Unary("tanh"), [(-3, 2)], None),
        (Div(), [(0, 1), (2, 2)], None),
    ],
)
def test_limits(op: Op, inputs: list[Limits | None], limits: Limits | None) -> None:
    assert limits_of(op, inputs) == limits


@pytest.mark.parametrize(
    ("dtype", "limits"),
    [
        (torch.float32, None),
        (torch.bool, None),
        (torch.int8, (-128, 127)),
        (torch.uint8, (0, 255)),
        (torch.int64, (-(2**24), 2**24)),
        (torch.float16, (-2048, 2048)),
        (torch.bfloat16, (-256, 256)),
        (torch.float64, (0, 2**24)),
    ],
)
def test_types_that_hold_the_same_numbers(dtype: torch.dtype, limits: Limits | None) -> None:
    check_type(dtype, limits)


@pytest.mark.parametrize(
    ("dtype", "limits", "why"),
    [
        (torch.int8, (0, 128), "overflow"),
        (torch.uint8, (-1, 1), "overflow"),
        (torch.int64, (0, 2**24 + 1), "overflow"),
        (torch.bfloat16, (0, 257), "overflow"),
        (torch.float64, None, "compute in float32"),
        (torch.int32, None, "compute in float32"),
    ],
)
def test_types_that_may_not(dtype: torch.dtype, limits: Limits | None, why: str) -> None:
    with pytest.raises(GraphError, match=why):
        check_type(dtype, limits)
