"""Rules for dense layers and other products with a constant matrix."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lower.conv_norm import bias_of
from fdabnn_deploy.frontend.capture.lower.reductions import sum_over
from fdabnn_deploy.frontend.capture.lowering import Lowering, Unfolded, constant_of, lowers
from fdabnn_deploy.frontend.capture.traced_value import Tensor, Value, pair, refuse
from fdabnn_deploy.frontend.lint.remedies import remedy_for
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.evaluation import release
from fdabnn_deploy.ir.expression import Expression, literal


@lowers("linear")
def linear(lowering: Lowering, node: torch.fx.Node, x: Value, weight: Value, bias: Any = None) -> Tensor:
    """`aten.linear`: x [N, ..., C], weight [O, C]."""
    return _dense(lowering, node, x, constant_of(node, weight, "dense weight"), bias)


@lowers("mm", "matmul")
def matmul(lowering: Lowering, node: torch.fx.Node, x: Value, weight: Value) -> Tensor:
    """`x @ w` with a constant w [C, O], or `w @ x` with a constant w [O, C] and x [N, C, L]."""
    if (
        isinstance(x, Expression)
        and isinstance(weight, Tensor)
        and len(weight.shape) == 3
        and x.value.ndim == 2
    ):
        return _of_columns(lowering, node, x, weight)
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


def _of_columns(lowering: Lowering, node: torch.fx.Node, weight: Expression, x: Tensor) -> Tensor:
    """`w @ x`: a 1x1 convolution of the columns, or the convolution whose windows `F.unfold` has made columns of."""
    out, columns = weight.value.shape[0], x.shape[2]
    if x.name in lowering.unfolded:
        y = _of_windows(lowering, node, lowering.unfolded[x.name], weight, None)
    else:
        x = lowering.add(ops.Reshape((x.shape[1], columns, 1)), [x], "reshape")
        y = lowering.add(_pointwise_conv(node, weight, None), [x], "conv")
    return lowering.add(ops.Reshape((out, columns)), [y], "reshape")


def _of_windows(
    lowering: Lowering, node: torch.fx.Node, unfolded: Unfolded, weight: Expression, bias: Any
) -> Tensor:
    """The convolution that a dense layer of windows is."""
    shape = (len(weight.value), unfolded.image.shape[1], *unfolded.kernel)
    filters = Expression("reshape", (weight, list(shape)), weight.value.reshape(shape))
    op = ops.TrainedConv2d(
        release(filters), bias_of(node, bias), unfolded.stride, unfolded.padding, unfolded.dilation, 1
    )
    return lowering.add(op, [unfolded.image], "conv")


@lowers("im2col")
def unfold(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Tensor,
    kernel: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Tensor:
    """`F.unfold`: the windows of an image as columns [N, C kh kw, L]; a convolution whose filters have a single 1 each."""
    if len(x.shape) != 4:
        raise refuse(node, f"unfolding {len(x.shape)} dimensions is not supported", "give it [N, C, H, W]")
    unfolded = Unfolded(x, pair(kernel), pair(stride), pair(padding), pair(dilation))
    rows = x.shape[1] * math.prod(unfolded.kernel)
    picked = _of_windows(lowering, node, unfolded, literal(np.eye(rows, dtype=np.float32)), None)
    columns = lowering.add(ops.Reshape((rows, math.prod(picked.shape[2:]))), [picked], "reshape")
    lowering.unfolded[columns.name] = unfolded
    return columns


@lowers("col2im")
def fold(lowering: Lowering, node: torch.fx.Node, x: Tensor, size: Any, kernel: Any, *windows: Any) -> Tensor:
    """`F.fold` of columns of one pixel each: an image again."""
    if pair(kernel) != (1, 1) or windows != ([1, 1], [0, 0], [1, 1]) or len(x.shape) != 3:
        raise refuse(
            node, "folding windows of several pixels is not supported", "use a transposed convolution"
        )
    return lowering.add(ops.Reshape((x.shape[1], *pair(size))), [x], "reshape")


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
    if x.name in lowering.unfolded_rows:
        y = _of_windows(lowering, node, lowering.unfolded_rows[x.name], weight, bias)
        y = lowering.add(ops.Reshape((out, tokens)), [y], "reshape")
        return lowering.add(ops.Permute((2, 1)), [y], "permute")
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
    """A product of an activation and a constant: a dense layer, as `bchw,oc->bohw`, or a scale, as `bchw,c->bchw`; or sums alone."""
    terms, result = _letters(equation, [len(_shape(value)) for value in operands])
    first = next((i for i, value in enumerate(operands) if isinstance(value, Tensor)), 0)
    x, own = operands[first], terms[first]
    constant, matrix = (operands[1 - first], terms[1 - first]) if len(terms) == 2 else (None, "")
    plain = all(len(set(term)) == len(term) for term in (*terms, result))
    if len(terms) > 2 or not plain or isinstance(constant, Tensor) or not isinstance(x, Tensor) or not own:
        raise refuse(node, f"einsum '{equation}' is not supported", remedy_for("einsum"))
    summed = [label for label in own if label not in result]
    made = [label for label in matrix if label not in own]
    if own[0] not in result[:1]:
        raise refuse(node, f"einsum '{equation}' moves the batch", "keep dimension 0 for the batch")
    if any(label not in own + "".join(made) for label in result) or any(
        label not in result for label in made
    ):
        raise refuse(node, f"einsum '{equation}' is not supported", remedy_for("einsum"))
    labels = _without(own, summed) + "".join(made)
    if constant is not None and summed and set(matrix) == {*summed, *made}:
        y = _summed(lowering, node, x, own, constant, matrix)
    elif not made:
        y = x if constant is None else _scaled(lowering, x, own, constant, matrix)
        y = sum_over(lowering, y, [own.index(label) for label in summed]) if summed else y
    else:
        raise refuse(node, f"einsum '{equation}' is not supported", remedy_for("einsum"))
    places = [labels.index(label) for label in result]
    return y if places == sorted(places) else lowering.add(ops.Permute(tuple(places[1:])), [y], "permute")


def _letters(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The labels of the operands and of the result; those that `...` and a missing result stand for are spelled out."""
    left, arrow, result = equation.replace(" ", "").partition("->")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    hidden = [rank - len(term.replace("...", "")) for term, rank in zip(left.split(","), ranks, strict=True)]
    most = "".join(
        free[: max([0, *(n for n, term in zip(hidden, left.split(","), strict=True) if "..." in term)])]
    )
    terms = [
        term.replace("...", most[len(most) - n :]) for term, n in zip(left.split(","), hidden, strict=True)
    ]
    if not arrow:
        joined = "".join(terms)
        result = "..." + "".join(
            sorted(label for label in set(joined) - set(most) if joined.count(label) == 1)
        )
    return terms, result.replace("...", most)


def _shape(value: Value) -> tuple[int, ...]:
    return value.shape if isinstance(value, Tensor) else value.value.shape


def _without(labels: str, removed: list[str]) -> str:
    return "".join(label for label in labels if label not in removed)


def _scaled(lowering: Lowering, x: Tensor, own: str, constant: Value, labels: str) -> Tensor:
    """A tensor times a constant, each label of which is a dimension of the tensor."""
    assert isinstance(constant, Expression)
    ordered = [labels.index(label) for label in own if label in labels]
    sizes = [constant.value.shape[labels.index(label)] if label in labels else 1 for label in own]
    return lowering.add(ops.Mul(), [x, literal(constant.value.transpose(ordered).reshape(sizes))], "scaled")


def _summed(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, own: str, constant: Value, labels: str
) -> Tensor:
    """A dense layer over the labels that both have; the constant's others stand behind those that are left."""
    assert isinstance(constant, Expression)
    shared, made = ([label for label in labels if (label in own) == found] for found in (True, False))
    left = _without(own, shared)
    places = [own.index(label) for label in (*left, *shared)]
    if places != list(range(len(own))):
        x = lowering.add(ops.Permute(tuple(places[1:])), [x], "permute")
    sizes = dict(zip((*labels, *left, *shared), (*constant.value.shape, *x.shape), strict=True))
    weight, order = constant, [labels.index(label) for label in (*made, *shared)]
    if order != list(range(len(labels))):
        weight = Expression("permute", (weight, order), np.ascontiguousarray(weight.value.transpose(order)))
    wide = [math.prod(sizes[label] for label in part) for part in (made, shared)]
    if len(labels) != 2 or not made:
        weight = Expression("reshape", (weight, wide), weight.value.reshape(wide))
    kept = [sizes[label] for label in left[1:]]
    if len(shared) != 1:
        x = lowering.add(ops.Reshape((*kept, wide[1])), [x], "reshape")
    y = _dense(lowering, node, x, weight, None)
    shape = (*kept, *(sizes[label] for label in made))
    return y if len(made) == 1 else lowering.add(ops.Reshape(shape), [y], "reshape")
