"""Bounds of each operator's result from the bounds of its inputs, for every operator of an exact graph.

Interval arithmetic, widened where float32 rounds. Grids: a product of two grids has the sum of their exponents, a sum or a choice the
larger one; rounding to float32 takes a value to a coarser grid only, which is a part of the finer one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fdabnn_deploy.exact.ranges import Values, grid_of, uniform, widen
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    AvgPool2d,
    BinaryConv2d,
    BinaryLinear,
    Clamp,
    Concat,
    Conv2d,
    GlobalAvgPool,
    GlobalSum,
    GraphError,
    Linear,
    Maximum,
    MaxPool2d,
    Mul,
    Op,
    Pad,
    Permute,
    PRelu,
    Relu,
    Reshape,
    RoundToGrid,
    Saturate,
    Shape,
    Sign,
    Slice,
    Sub,
)
from fdabnn_deploy.ir.ops.base import DoubleArray

Rule = Callable[[Any, list[Values], list[Shape], Shape], Values]


def propagate(op: Op, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    """Bounds of an operator's result.

    Args:
        op: of an exact graph, not an input.
        inputs: bounds of its operands.
        shapes: of its operands.
        shape: of its result.

    Raises:
        GraphError: the operator has no place in an exact graph.
    """
    rule = _RULES.get(type(op))
    if rule is None:
        raise GraphError(f"{op.kind} has no bounds")
    return rule(op, inputs, shapes, shape)


def weighted(values: Values, weight: DoubleArray, groups: int) -> tuple[DoubleArray, DoubleArray]:
    """Bounds of `sum x w` per output channel, zero padding included; weight [O, C / groups, ...]."""
    taps = weight.reshape(*weight.shape[:2], -1)
    low = np.minimum(values.low, 0).reshape(groups, -1)
    high = np.maximum(values.high, 0).reshape(groups, -1)
    positive, negative = np.maximum(taps, 0).sum(axis=2), np.minimum(taps, 0).sum(axis=2)
    group = np.repeat(np.arange(groups), len(weight) // groups)
    return (
        (positive * low[group] + negative * high[group]).sum(axis=1),
        (positive * high[group] + negative * low[group]).sum(axis=1),
    )


def _conv2d(op: Conv2d, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    low, high = weighted(inputs[0], op.weight.astype(np.float64), op.groups)
    return _with_bias(op, inputs[0], low, high)


def _linear(op: Linear, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    low, high = weighted(inputs[0], op.weight.astype(np.float64), 1)
    return _with_bias(op, inputs[0], low, high)


def _with_bias(op: Conv2d | Linear, x: Values, low: DoubleArray, high: DoubleArray) -> Values:
    grid = x.grid + grid_of(op.weight)
    if op.bias is not None:
        low, high = low + op.bias, high + op.bias
        grid = max(grid, grid_of(op.bias))
    return Values(low, high, grid)


def _binary(
    op: BinaryConv2d | BinaryLinear, inputs: list[Values], shapes: list[Shape], shape: Shape
) -> Values:
    return uniform(-op.taps, op.taps, 0, shape[1])


def _affine(op: Affine, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    (x,) = inputs
    scale, offset = op.scale32, op.offset32
    low, high, grid = x.low, x.high, x.grid
    if op.has_scale:
        a, b = low * scale, high * scale
        grid += grid_of(scale)
        scaled = widen(np.minimum(a, b), np.maximum(a, b), grid)
        low, high = scaled.low, scaled.high
    if op.has_offset:
        low, high = low + offset, high + offset
        grid = max(grid, grid_of(offset))
    return widen(low, high, grid)


def _prelu(op: PRelu, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    (x,) = inputs
    slope = op.slope.astype(np.float64)
    a, b = np.minimum(x.low, 0) * slope, np.minimum(x.high, 0) * slope
    candidates = np.stack([a, b, np.maximum(x.low, 0), np.maximum(x.high, 0)])
    return widen(candidates.min(axis=0), candidates.max(axis=0), x.grid + grid_of(op.slope))


def _relu(op: Relu, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    return Values(np.maximum(inputs[0].low, 0), np.maximum(inputs[0].high, 0), inputs[0].grid)


def _clamp(op: Clamp | Saturate, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    low, high, grid = inputs[0].low, inputs[0].high, inputs[0].grid
    for limit in (op.low, op.high):
        grid = max(grid, grid_of(limit)) if math.isfinite(limit) else grid
    limits = float(np.float32(op.low)), float(np.float32(op.high))
    return Values(np.clip(low, *limits), np.clip(high, *limits), grid)


def _round(op: RoundToGrid, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    (x,) = inputs
    units = 2.0**op.exponent
    return Values(np.floor(x.low * units) / units, np.ceil(x.high * units) / units, op.exponent)


def _add(op: Add, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    a, b = (_spread(x, shape) for x in inputs)
    return widen(a.low + b.low, a.high + b.high, max(a.grid, b.grid))


def _sub(op: Sub, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    a, b = (_spread(x, shape) for x in inputs)
    return widen(a.low - b.high, a.high - b.low, max(a.grid, b.grid))


def _mul(op: Mul, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    a, b = (_spread(x, shape) for x in inputs)
    products = np.stack([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high])
    return widen(products.min(axis=0), products.max(axis=0), a.grid + b.grid)


def _maximum(op: Maximum, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    a, b = (_spread(x, shape) for x in inputs)
    return Values(np.maximum(a.low, b.low), np.maximum(a.high, b.high), max(a.grid, b.grid))


def _same(op: Op, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    return inputs[0]


def _sign(op: Sign, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    return uniform(-1, 1, 0, shape[1])


def _avg_pool(
    op: AvgPool2d | GlobalAvgPool, inputs: list[Values], shapes: list[Shape], shape: Shape
) -> Values:
    (x,) = inputs
    area = math.prod(op.kernel) if isinstance(op, AvgPool2d) else math.prod(shapes[0][2:])
    return Values(np.minimum(x.low, 0), np.maximum(x.high, 0), x.grid + (area - 1).bit_length())


def _global_sum(op: GlobalSum, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    area = math.prod(shapes[0][2:])
    return Values(inputs[0].low * area, inputs[0].high * area, inputs[0].grid)


def _pad(op: Pad, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    (x,) = inputs
    low, high = x.low, x.high
    if op.pads[0] != (0, 0):
        low, high = (np.pad(limit, op.pads[0], constant_values=op.value) for limit in (low, high))
    value = float(np.float32(op.value))
    return Values(np.minimum(low, value), np.maximum(high, value), max(x.grid, grid_of(op.value)))


def _slice(op: Slice, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    channels = slice(*op.ranges[0])
    return Values(inputs[0].low[channels], inputs[0].high[channels], inputs[0].grid)


def _concat(op: Concat, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    return Values(
        np.concatenate([x.low for x in inputs]),
        np.concatenate([x.high for x in inputs]),
        max(x.grid for x in inputs),
    )


def _reshape(op: Reshape, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    (x,) = inputs
    if len(shape) <= 2:
        inner = math.prod(shapes[0][2:])
        return Values(np.repeat(x.low, inner), np.repeat(x.high, inner), x.grid)
    if shape[1] == shapes[0][1]:
        return x
    return uniform(x.low.min(), x.high.max(), x.grid, shape[1])


def _permute(op: Permute, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
    (x,) = inputs
    return x if op.order[0] == 1 else uniform(x.low.min(), x.high.max(), x.grid, shape[1])


def _spread(x: Values, shape: Shape) -> Values:
    """Bounds of an operand that broadcasts to a shape."""
    if len(x.low) == shape[1]:
        return x
    return Values(np.broadcast_to(x.low, shape[1]), np.broadcast_to(x.high, shape[1]), x.grid)


_RULES: dict[type[Op], Rule] = {
    Conv2d: _conv2d,
    Linear: _linear,
    BinaryConv2d: _binary,
    BinaryLinear: _binary,
    Affine: _affine,
    PRelu: _prelu,
    Relu: _relu,
    Clamp: _clamp,
    Saturate: _clamp,
    RoundToGrid: _round,
    Add: _add,
    Sub: _sub,
    Mul: _mul,
    Maximum: _maximum,
    Sign: _sign,
    MaxPool2d: _same,
    AvgPool2d: _avg_pool,
    GlobalAvgPool: _avg_pool,
    GlobalSum: _global_sum,
    Pad: _pad,
    Slice: _slice,
    Concat: _concat,
    Reshape: _reshape,
    Permute: _permute,
}
