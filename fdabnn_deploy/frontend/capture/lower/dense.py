"""Rules for dense layers and other products with a constant matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lower.conv_norm import bias_of
from fdabnn_deploy.frontend.capture.lowering import Lowering, constant_of, lowers
from fdabnn_deploy.frontend.capture.traced_value import Tensor, Value, refuse
from fdabnn_deploy.frontend.lint.remedies import remedy_for
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.evaluation import release
from fdabnn_deploy.ir.expression import Expression


@lowers("linear")
def linear(lowering: Lowering, node: torch.fx.Node, x: Value, weight: Value, bias: Any = None) -> Tensor:
    """`aten.linear`: x [N, ..., C], weight [O, C]."""
    return _dense(lowering, node, x, constant_of(node, weight, "dense weight"), bias)


@lowers("mm", "matmul")
def matmul(lowering: Lowering, node: torch.fx.Node, x: Value, weight: Value) -> Tensor:
    """`x @ w` with a constant w [C, O]."""
    return _dense(lowering, node, x, _transposed(node, weight), None)


@lowers("addmm")
def addmm(lowering: Lowering, node: torch.fx.Node, bias: Value, x: Value, weight: Value) -> Tensor:
    """`bias + x @ w` with constant bias [O] and w [C, O]."""
    if any(node.kwargs.get(name, 1) != 1 for name in ("alpha", "beta")):
        raise refuse(node, "'addmm' with alpha or beta is not supported", "multiply explicitly")
    return _dense(lowering, node, x, _transposed(node, weight), bias)


def _transposed(node: torch.fx.Node, weight: Value) -> Expression:
    if isinstance(weight, Tensor):
        raise refuse(
            node,
            "operator 'matmul' multiplies two tensors that depend on the input",
            remedy_for("matmul"),
        )
    expression = constant_of(node, weight, "second factor of the matrix product")
    if expression.value.ndim != 2:
        raise refuse(
            node,
            f"a matrix product with a constant {list(expression.value.shape)} is not supported",
            "the constant has to be a matrix [C, O], as that of a dense layer is",
        )
    return Expression("t", (expression,), np.ascontiguousarray(expression.value.T))


def _dense(lowering: Lowering, node: torch.fx.Node, x: Value, weight: Expression, bias: Any) -> Tensor:
    """A dense layer. On tokens [N, ..., C] it is a 1x1 convolution of an image C x tokens x 1."""
    if not isinstance(x, Tensor):
        raise refuse(node, "a constant times a weight that depends on the input", remedy_for("matmul"))
    if weight.value.ndim != 2:
        raise refuse(
            node, f"a dense layer with a weight {list(weight.value.shape)}", "give it a matrix [O, C]"
        )
    if x.rows:
        return lowering.add(_pointwise_conv(node, weight, bias), [x], "conv")
    if len(x.shape) == 2:
        return lowering.add(ops.TrainedLinear(release(weight), bias_of(node, bias)), [x], "linear")
    if len(x.shape) < 2:
        raise refuse(node, f"a dense layer on a tensor {list(x.shape)} is not supported", "keep [N, ..., C]")
    out, channels = weight.value.shape
    *positions, _ = x.shape[1:]
    tokens = math.prod(positions)
    if len(positions) > 1:
        x = lowering.add(ops.Reshape((tokens, channels)), [x], "reshape")
    x = lowering.add(ops.Permute((2, 1)), [x], "permute")
    x = lowering.add(ops.Reshape((channels, tokens, 1)), [x], "reshape")
    x = lowering.add(_pointwise_conv(node, weight, bias), [x], "conv")
    x = lowering.add(ops.Reshape((out, tokens)), [x], "reshape")
    x = lowering.add(ops.Permute((2, 1)), [x], "permute")
    return lowering.add(ops.Reshape((*positions, out)), [x], "reshape") if len(positions) > 1 else x


def _pointwise_conv(node: torch.fx.Node, weight: Expression, bias: Any) -> ops.TrainedConv2d:
    """The 1x1 convolution with the weight of a dense layer."""
    shape = (*weight.value.shape, 1, 1)
    kernel = Expression("reshape", (weight, list(shape)), weight.value.reshape(shape))
    return ops.TrainedConv2d(release(kernel), bias_of(node, bias), (1, 1), (0, 0), (1, 1), 1)


@lowers("einsum")
def einsum(lowering: Lowering, node: torch.fx.Node, equation: str, operands: list[Value], *_: Any) -> Tensor:
    """A sum over one index of an activation and a constant matrix, such as `bchw,oc->bohw`: a dense layer."""
    left, _arrow, result = equation.replace(" ", "").partition("->")
    terms: list[str] = left.split(",")
    first = next((i for i, value in enumerate(operands) if isinstance(value, Tensor)), 0)
    if len(terms) != 2 or "." in equation or not isinstance(operands[1 - first], Expression):
        raise refuse(node, f"einsum '{equation}' is not supported", remedy_for("einsum"))
    x, weight = operands[first], operands[1 - first]
    own, matrix = (terms[place] for place in (first, 1 - first))
    assert isinstance(x, Tensor)
    assert isinstance(weight, Expression)
    summed, made = (
        "".join(label for label in matrix if (label in own) == shared) for shared in (True, False)
    )
    others = own.replace(summed, "") if summed else own
    if (len(summed), len(made)) != (1, 1) or own[0] == summed or sorted(result) != sorted(others + made):
        raise refuse(node, f"einsum '{equation}' is not supported", remedy_for("einsum"))
    if matrix[0] == summed:
        weight = _transposed(node, weight)
    places = [own.index(label) for label in others + summed]
    if places != list(range(len(own))):
        x = lowering.add(ops.Permute(tuple(places[1:])), [x], "permute")
    y = _dense(lowering, node, x, weight, None)
    arranged = [(others + made).index(label) for label in result]
    if arranged[0] != 0:
        raise refuse(node, f"einsum '{equation}' moves the batch", "keep dimension 0 for the batch")
    return (
        y if arranged == sorted(arranged) else lowering.add(ops.Permute(tuple(arranged[1:])), [y], "permute")
    )
