from __future__ import annotations

import numpy as np
import pytest
import torch

from fdabnn_deploy.frontend.capture.integers import Limits, check_type, limits_of
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.ops import Op


@pytest.mark.parametrize(
    ("op", "inputs", "limits"),
    [
        (ops.TorchSign(), [None], (-1, 1)),
        (ops.Compare("gt"), [None, None], (0, 1)),
        (ops.Logical("or"), [(0, 1), (0, 1)], (0, 1)),
        (ops.ToFloat(), [(0, 1)], (0, 1)),
        (ops.ToFloat(), [None], None),
        (ops.Constant(np.array([3.0, -2.0])), [], (-2, 3)),
        (ops.Constant(np.array(0.5)), [], None),
        (ops.Constant(np.array(np.inf)), [], None),
        (ops.Add(), [(0, 1), (-2, 3)], (-2, 4)),
        (ops.Sub(), [(0, 1), (-2, 3)], (-3, 3)),
        (ops.Mul(), [(-2, 1), (-3, 2)], (-4, 6)),
        (ops.Mul(), [(-2, 1), None], None),
        (ops.Maximum(), [(-2, 1), (0, 0)], (0, 1)),
        (ops.Relu(), [(-2, 1)], (0, 1)),
        (ops.Where(), [(0, 1), (-1, -1), (5, 7)], (-1, 7)),
        (ops.Where(), [(0, 1), (-1, -1), None], None),
        (ops.Unary("neg"), [(-2, 1)], (-1, 2)),
        (ops.Unary("abs"), [(-2, 1)], (0, 2)),
        (ops.Unary("square"), [(-3, 2)], (0, 9)),
        (ops.Unary("tanh"), [(-3, 2)], None),
        (ops.Div(), [(0, 1), (2, 2)], None),
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
    with pytest.raises(ops.GraphError, match=why):
        check_type(dtype, limits)
