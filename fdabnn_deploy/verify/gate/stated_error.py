"""How far a tensor of the deployed graph may lie from the trained network's: what its grids and float32 leave, channel by channel.

For a tensor whose neighbours in front are given (the trained network's own values), with `|x| <= M` of each operand and its error E:

| operator                  | error of the result                                                                          |
|---------------------------|----------------------------------------------------------------------------------------------|
| given                     | `M 2^-24`, the rounding to float32                                                            |
| affine                    | `abs(A) E`, and one rounding per step                                                          |
| sum, difference           | `E1 + E2`, and a rounding                                                                      |
| product                   | `M1 E2 + M2 E1 + E1 E2`                                                                        |
| conv of pixels            | what the slices leave of `abs(w) 128`, and the roundings                                       |
| conv, dense layer         | `sum abs(w) E` and, exact, what the digits leave; float, K roundings                           |
| pool                      | E, and half a step of its grid                                                                 |
| PReLU                     | `max(1, abs(slope)) E`                                                                         |
| whatever moves or selects | E                                                                                              |

What the digits of a reduction leave (`numerics.plan`): with the operand's last digit within r, the weights' within s, and of the products
of digits those that are left out, `r sum abs(w) + M sum s + sum of abs(x_a) sum abs(w_b)`: no more than this for any input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.exact.grid_row import GridRow
from fdabnn_deploy.exact.pixel_layer import pixel_slices, pixel_weights
from fdabnn_deploy.exact.plan import PRODUCTS, slice_counts, slice_exponents
from fdabnn_deploy.exact.weight_grids import slices_with_kept_sums
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.ir.ops.pixels import CENTRE

ROUNDING = 2.0**-24
"""Relative error of one rounding to float32."""


@dataclass(frozen=True)
class Error:
    """Per channel: the largest magnitude of a tensor, and how far its values may be off. Both float64 [C]."""

    magnitude: DoubleArray
    error: DoubleArray


class StatedErrors:
    """The errors of the tensors of one deployed graph.

    Args:
        graph: the float graph, before it was made exact.
        exact: what it was made, or the float graph itself.
        grids: of the exact graph's reductions.
    """

    def __init__(self, graph: Graph, exact: Graph, grids: tuple[GridRow, ...]) -> None:
        self._graph, self._exact = graph, exact
        self._grids = {row.tensor: row for row in grids}

    def of(self, name: str, given: Mapping[str, DoubleArray]) -> DoubleArray:
        """The error [C] of a tensor that is computed from given ones.

        Args:
            name: of the tensor, in the float graph.
            given: per tensor that is given, the largest magnitude of each of its channels [C].
        """
        return self._error(name, given, {}, first=True).error

    def _error(
        self, name: str, given: Mapping[str, DoubleArray], known: dict[str, Error], *, first: bool = False
    ) -> Error:
        if name in known:
            return known[name]
        node = self._graph[name]
        if isinstance(node.op, ops.CentredPixels):
            channels = self._graph.shape(name)[1]
            error = Error(np.full(channels, float(CENTRE)), np.zeros(channels))
        elif name in given and not first:
            error = Error(given[name], given[name] * ROUNDING)
            if isinstance(node.op, ops.Input):
                error = self._rounded(error, f"{name}/on_grid")
        else:
            operands = [self._error(i, given, known) for i in node.inputs]
            operands = [self._rounded(operand, f"{name}/coarser") for operand in operands]
            error = self._result(node, operands)
        known[name] = error
        return error

    def _rounded(self, error: Error, rounding: str) -> Error:
        """With the error of a rounding to a grid, where the exact graph has one of this name."""
        if rounding not in self._exact:
            return error
        op = self._exact[rounding].op
        assert isinstance(op, ops.RoundToGrid)
        return Error(error.magnitude, error.error + math.ldexp(1.0, -op.exponent - 1))

    def _result(self, node: Node, operands: list[Error]) -> Error:
        op, shape = node.op, self._graph.shape(node.name)
        if isinstance(op, ops.Conv2d | ops.Linear):
            return self._layer(node.name, op, operands[0])
        if isinstance(op, ops.PixelConv2d):
            return self._pixel_layer(node.name, op)
        if isinstance(op, ops.BinaryConv2d | ops.BinaryLinear | ops.Sign):
            taps = 1 if isinstance(op, ops.Sign) else op.taps
            return Error(np.full(shape[1], float(taps)), np.zeros(shape[1]))
        if isinstance(op, ops.AvgPool2d | ops.GlobalAvgPool | ops.GlobalSum):
            return self._pool(node.name, op, operands[0])
        if isinstance(op, ops.Mover):
            before = self._graph.shape(node.inputs[0])
            moved = (
                op.channels(v, before, shape, np.maximum) for v in (operands[0].magnitude, operands[0].error)
            )
            return Error(*moved)
        return _pointwise(op, [_spread(operand, shape[1]) for operand in operands], operands)

    def _layer(self, name: str, op: ops.Conv2d | ops.Linear, x: Error) -> Error:
        weight = op.weight.astype(np.float64)
        bias = np.zeros(len(weight)) if op.bias is None else op.bias.astype(np.float64)
        groups = op.groups if isinstance(op, ops.Conv2d) else 1
        magnitude = _weighted(weight, x.magnitude, groups) + np.abs(bias)
        error = _weighted(weight, x.error, groups)
        row = self._grids.get(name)
        if row is None:
            taps = weight[0].size
            return Error(magnitude, error + (taps + 8) * ROUNDING * magnitude)
        return Error(magnitude, error + _left_by_slices(weight, bias, row) + 8 * ROUNDING * magnitude)

    def _pixel_layer(self, name: str, op: ops.PixelConv2d) -> Error:
        weight = np.abs(op.layer.weight.astype(np.float64))
        normalised = CENTRE * op.scale + np.abs(op.offset)
        magnitude = _weighted(weight, normalised, 1)
        if op.layer.bias is not None:
            magnitude = magnitude + np.abs(op.layer.bias)
        row = self._grids[name]
        slices = pixel_slices(op, row.parts, row.slice_bits)
        rest = pixel_weights(op) - sum(part.weight for part in slices)
        # The trained network's own pixels are normalised ones, rounded to float32.
        return Error(magnitude, CENTRE * _rows(rest) + 8 * ROUNDING * magnitude)

    def _pool(self, name: str, op: Op, x: Error) -> Error:
        row = self._grids.get(name)
        whole = self._graph.shape(self._graph[name].inputs[0])[2:]
        area = math.prod(op.kernel if isinstance(op, ops.AvgPool2d) else whole)
        step = math.ldexp(1.0, -row.exponent - 1) if row is not None and row.rounded else 0.0
        rounding = (8 if row is not None else 8 + area) * ROUNDING
        terms = float(area) if isinstance(op, ops.GlobalSum) else 1.0
        error: DoubleArray = x.error + (step + rounding * x.magnitude)
        return Error(terms * x.magnitude, terms * error)


def _left_by_slices(weight: DoubleArray, bias: DoubleArray, row: GridRow) -> DoubleArray:
    """The largest error of `sum w x + b` by the slices that an exact sum leaves out, per output channel."""
    magnitude = max(abs(row.low), abs(row.high))
    operand_count, weight_count = slice_counts(row.parts)
    slices = slices_with_kept_sums(weight, bias, magnitude, row.exponent, weight_count, row.slice_bits)
    exponents = slice_exponents(magnitude, row.exponent, operand_count)
    operand = [magnitude, *(math.ldexp(1.0, -exponent - 1) if row.rounded else 0.0 for exponent in exponents)]
    sums = [_rows(part.weight) for part in slices]
    rest = _rows(weight - sum(part.weight for part in slices))
    left: DoubleArray = operand[-1] * _rows(weight) + magnitude * rest
    left = left + np.abs(bias - sum(part.bias for part in slices))
    for a in range(operand_count):
        for b in range(weight_count):
            if (a, b) not in PRODUCTS[row.parts]:
                left = left + operand[a] * sums[b]
    return left


def _rows(weight: DoubleArray) -> DoubleArray:
    sums: DoubleArray = np.abs(weight.reshape(len(weight), -1)).sum(axis=1)
    return sums


def _weighted(weight: DoubleArray, values: DoubleArray, groups: int) -> DoubleArray:
    """`sum abs(w) v` per output channel, v per input channel."""
    taps = np.abs(weight.reshape(*weight.shape[:2], -1)).sum(axis=2)
    group = np.repeat(np.arange(groups), len(weight) // groups)
    sums: DoubleArray = (taps * values.reshape(groups, -1)[group]).sum(axis=1)
    return sums


def _spread(x: Error, channels: int) -> Error:
    if len(x.magnitude) == channels or len(x.magnitude) != 1:
        return x
    return Error(np.broadcast_to(x.magnitude, channels), np.broadcast_to(x.error, channels))


def _pointwise(op: Op, operands: list[Error], unspread: list[Error]) -> Error:
    x = operands[0]
    if isinstance(op, ops.Affine):
        scale, offset = np.abs(op.scale), np.abs(op.offset)
        magnitude = scale * x.magnitude + offset
        return Error(magnitude, scale * x.error + 4 * ROUNDING * magnitude)
    if isinstance(op, ops.PositionAffine | ops.BorderOffset):
        factor = float(np.abs(op.scale).max()) if isinstance(op, ops.PositionAffine) else 1.0
        added = float(np.abs(op.offset).max())
        magnitude = factor * x.magnitude + added
        return Error(magnitude, factor * x.error + 4 * ROUNDING * magnitude)
    if isinstance(op, ops.PRelu):
        slope = np.maximum(1.0, np.abs(op.slope.astype(np.float64)))
        return Error(slope * x.magnitude, slope * x.error + 2 * ROUNDING * slope * x.magnitude)
    if isinstance(op, ops.Add | ops.Sub):
        magnitude = x.magnitude + operands[1].magnitude
        return Error(magnitude, x.error + operands[1].error + ROUNDING * magnitude)
    if isinstance(op, ops.Mul):
        y = operands[1]
        magnitude = x.magnitude * y.magnitude
        error = x.magnitude * y.error + y.magnitude * x.error + x.error * y.error
        return Error(magnitude, error + ROUNDING * magnitude)
    if isinstance(op, ops.Maximum):
        y = operands[1]
        return Error(np.maximum(x.magnitude, y.magnitude), np.maximum(x.error, y.error))
    if isinstance(op, ops.Softmax):
        # Its derivatives are at most 1, those of its logarithm 2 in sum.
        worst = 2 * x.error.max() + 64 * ROUNDING * max(1.0, x.magnitude.max())
        return Error(np.full_like(x.magnitude, 2 * x.magnitude.max() + 32), np.full_like(x.error, worst))
    if isinstance(op, ops.Pad):
        magnitude, error = (np.pad(v, op.pads[0]) for v in (x.magnitude, x.error))
        return Error(np.maximum(magnitude, abs(op.value)), np.asarray(error))
    if isinstance(op, ops.Concat):
        return Error(
            *(np.concatenate([getattr(part, what) for part in unspread]) for what in ("magnitude", "error"))
        )
    assert isinstance(op, ops.Relu | ops.Clamp | ops.Saturate | ops.MaxPool2d | ops.RoundToGrid), op
    return x
