"""Rules for functions of all values along dimensions: means, sums, largest and smallest values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lower.pointwise import negative
from fdabnn_deploy.frontend.capture.lowering import Lowering, as_value, lowers, times
from fdabnn_deploy.frontend.capture.traced_value import Tensor, function_name, refuse
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.expression import Expression, literal


@lowers("mean")
def mean(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, dims: Any = None, keepdim: bool = False
) -> Tensor:
    """Mean over dimensions of each image: a global pool of an image whose rows are the values that are averaged."""
    axes = _axes(node, x, dims)
    stacked = _stacked(lowering, x, axes, keepdim)
    if stacked is not None:
        return times(lowering, stacked, 1 / x.shape[axes[0]])
    if len(x.shape) == 4 and axes == [2, 3]:
        return lowering.add(ops.GlobalAvgPool(bool(keepdim)), [x], "mean")
    pooled = lowering.add(ops.GlobalAvgPool(keepdims=False), [_rows(lowering, x, axes)], "mean")
    return _shaped(lowering, node, pooled)


@lowers("sum")
def total(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, dims: Any = None, keepdim: bool = False
) -> Tensor:
    """Sum over dimensions of each image: the mean times the number of values, and the sum itself of stacked tensors."""
    axes = _axes(node, x, dims)
    x = _as_numbers(lowering, node, x)
    stacked = _stacked(lowering, x, axes, keepdim)
    if stacked is not None:
        return stacked
    count = math.prod(x.shape[axis] for axis in axes)
    summed = times(lowering, mean(lowering, node, x, dims, keepdim), count)
    limits = lowering.integers(x)
    if limits is None or node.meta["val"].dtype.is_floating_point:
        return summed
    # A mean of integers is rounded, and times their number it is an integer again.
    counted = lowering.add(ops.RoundToGrid(0), [summed], "counted")
    lowering.limit(counted, (limits[0] * count, limits[1] * count))
    return counted


@lowers("count_nonzero")
def count_nonzero(lowering: Lowering, node: torch.fx.Node, x: Tensor, dims: Any = None) -> Tensor:
    """How many values along dimensions are not 0."""
    other = lowering.add(ops.Compare("ne"), [x, literal(np.zeros((), np.float32))], "ne")
    counted: Tensor = total(lowering, node, lowering.add(ops.ToFloat(), [other], "float"), dims)
    return counted


def _as_numbers(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """A tensor of truth values as 0 and 1."""
    source = node.args[0]
    assert isinstance(source, torch.fx.Node)
    masked = source.meta["val"].dtype == torch.bool and function_name(node.target) in ("sum", "any", "all")
    return lowering.add(ops.ToFloat(), [x], "float") if masked else x


def sum_over(lowering: Lowering, x: Tensor, axes: Sequence[int]) -> Tensor:
    """The sum over some dimensions, which disappear."""
    kept = tuple(size for axis, size in enumerate(x.shape) if axis and axis not in axes)
    pooled = lowering.add(ops.GlobalAvgPool(keepdims=False), [_rows(lowering, x, axes)], "mean")
    pooled = pooled if len(kept) == 1 else lowering.add(ops.Reshape(kept), [pooled], "reshape")
    return times(lowering, pooled, math.prod(x.shape[axis] for axis in axes))


@lowers("any", "all")
def any_or_all(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, dims: Any = None, keepdim: bool = False
) -> Tensor:
    """Whether one value along dimensions is not 0, or none is 0."""
    zero = literal(np.zeros((), np.float32))
    every = function_name(node.target) == "all"
    wanted = lowering.add(
        ops.Compare("eq" if every else "ne"), [_as_numbers(lowering, node, x), zero], "mask"
    )
    found = largest(lowering, node, lowering.add(ops.ToFloat(), [wanted], "float"), dims, keepdim)
    return lowering.add(ops.Compare("eq" if every else "ne"), [found, zero], "any")


@lowers("amax", "max")
def largest(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, dims: Any = None, keepdim: bool = False
) -> Any:
    """Largest values along dimensions: a pool over the whole image; with two tensors the larger value of each pair."""
    if isinstance(dims, Tensor | Expression):
        return lowering.add(ops.Maximum(), [as_value(x), as_value(dims)], "maximum")
    axes = _axes(node, x, dims)
    image = x if len(x.shape) == 4 and axes == [2, 3] else _rows(lowering, x, axes)
    size = (image.shape[2], image.shape[3])
    pooled = lowering.add(ops.MaxPool2d(size, size), [image], "maxpool")
    result = _shaped(lowering, node, pooled)
    return result if isinstance(node.meta["val"], torch.Tensor) else [result]


@lowers("amin", "min")
def smallest(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, dims: Any = None, keepdim: bool = False
) -> Any:
    """The same of smallest values: the largest of the negated ones, negated."""
    other = negative(lowering, dims) if isinstance(dims, Tensor | Expression) else dims
    found = largest(lowering, node, negative(lowering, as_value(x)), other, keepdim)
    negated = lowering.add(ops.Unary("neg"), [found[0] if isinstance(found, list) else found], "neg")
    return [negated] if isinstance(found, list) else negated


def _axes(node: torch.fx.Node, x: Tensor, dims: Any) -> list[int]:
    """The dimensions, in order.

    Raises:
        ModelRefusedError: the batch is among them.
    """
    rank = len(x.shape)
    listed = [dims] if isinstance(dims, int) else list(dims) if dims else list(range(rank))
    axes = sorted(d % rank for d in listed)
    if 0 in axes:
        raise refuse(
            node,
            f"operator '{function_name(node.target)}' over dimensions {listed} joins the images of a batch",
            "keep dimension 0 for the batch",
        )
    return axes


def _rows(lowering: Lowering, x: Tensor, axes: Sequence[int]) -> Tensor:
    """An image [N, kept, along the axes, 1]."""
    rank = len(x.shape)
    kept = [d for d in range(1, rank) if d not in axes]
    if kept + list(axes) != list(range(1, rank)):
        x = lowering.add(ops.Permute((*kept, *axes)), [x], "permute")
    sizes = x.shape[1:]
    channels, along = math.prod(sizes[: len(kept)]), math.prod(sizes[len(kept) :])
    return lowering.add(ops.Reshape((channels, along, 1)), [x], "reshape")


def _shaped(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """The result in the shape that PyTorch gives it."""
    result = node.meta["val"]
    shape = tuple(int(d) for d in (result if isinstance(result, torch.Tensor) else result[0]).shape)
    return x if shape == x.shape else lowering.add(ops.Reshape(shape[1:]), [x], "reshape")


def _stacked(lowering: Lowering, x: Tensor, axes: Sequence[int], keepdim: bool) -> Tensor | None:
    """The sum of tensors that were stacked along the only axis; None for another tensor."""
    parts, axis = lowering.stacked.get(x.name, ([], 0))
    if not parts or list(axes) != [axis]:
        return None
    summed = parts[0]
    for part in parts[1:]:
        summed = lowering.add(ops.Add(), [summed, part], "add")
    if keepdim:
        shape = (*summed.shape[1:axis], 1, *summed.shape[axis:])
        summed = lowering.add(ops.Reshape(shape), [summed], "reshape")
    return summed
