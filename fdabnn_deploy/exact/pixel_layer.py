"""How a convolution of a normalised image becomes exact sums of its pixels.

With centred pixels q, integers of 8 bits, and the normalised image `x = a q + b`, padded with zeros,

    sum over all taps of w x = S + E,    S = sum over all taps of (w a) q,    E = sum over the taps inside the image of w b.

S is a sum of integers times weights, exact in float32 in slices of some 12 bits (`weight_grids`): two of them and one addition, where a
normalised float32 image takes six sums. E depends on the place at the borders only, and there on a few classes of rows and columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.exact.operand_grids import Cutter
from fdabnn_deploy.exact.plan import PRODUCTS, WEIGHT_BITS, fewest_slices
from fdabnn_deploy.exact.record import Cut
from fdabnn_deploy.exact.weight_grids import (
    MAX_EXPONENT,
    Exponents,
    Gridded,
    slices_of,
    to_grid,
    with_kept_sums,
)
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.composites import ExactConv2d, OperandFormat
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import BorderOffset, Pad, PixelConv2d, Shape
from fdabnn_deploy.ir.ops.pixels import CENTRE

DIGITS = 127 * 2**16 + 127 * 2**8 + 126
"""The largest integer of three signed digits to the base 256, less 1 for the rounding that keeps sums."""

NOTHING = 2.0**-40
"""A rest of weights below this, relative to the largest, counts as none."""

NEGLIGIBLE = 2.0**-60
"""Offsets below this count as 0, which keeps grids and exponents small."""


def pixel_weights(op: PixelConv2d) -> DoubleArray:
    """`w a`, float64 [O, C, kh, kw]."""
    weights: DoubleArray = op.layer.weight.astype(np.float64) * op.scale[:, None, None]
    return weights


def pixel_slices(op: PixelConv2d, count: int, bits: int | None) -> list[Gridded]:
    """The slices of `w a`, of so many bits or as many as their sums leave.

    Of the last one, the rounding errors of every kernel add up to 0, since neighbouring pixels are alike.
    """
    weight = pixel_weights(op)
    nothing = np.zeros(len(weight))
    slices: list[Gridded] = []
    for _ in range(count):
        rest = weight - sum((part.weight for part in slices), np.zeros_like(weight))
        slices.append(to_grid(rest, nothing, CENTRE, 0, bits, finest=_finest(weight)))
    return [*slices[:-1], with_kept_sums(slices[-1], rest, CENTRE, 0, bits)]


def _finest(weight: DoubleArray) -> Exponents:
    """The exponents per output channel at which all slices together are three digits of 8 bits, as kernels of 8 bits take them."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    with np.errstate(divide="ignore"):
        finest: Exponents = np.minimum(np.floor(np.log2(DIGITS / largest)), MAX_EXPONENT).astype(np.int64)
    return finest


def pixel_sum(cutter: Cutter, node: Node) -> str:
    """Adds S of a convolution of pixels; returns the name of its tensor."""
    builder, op = cutter.builder, node.op
    assert isinstance(op, PixelConv2d)
    operand = builder.name(node.inputs[0])
    values, weight = builder.bounds(operand), pixel_weights(op)

    def choice() -> tuple[Cut, float]:
        few = cutter.slices.get(node.name)
        bits = None if few is None else WEIGHT_BITS
        parts, error = fewest_slices(weight, values, builder.observed(node.inputs[0]), bits, few or 2)
        if _fits_one_slice(weight):
            bits, parts, error = None, 1, 0.0
        return Cut(float(-CENTRE), float(CENTRE - 1), None, parts, bits), error

    cut, error = cutter.decide(node, choice)
    slices = pixel_slices(op, cut.parts, cut.bits)
    if any(map(any, op.pads)):
        operand = builder.add(node, Pad(((0, 0), *op.pads)), [operand], "border")
    layer = op.layer
    exact = ExactConv2d(
        OperandFormat(None, (None,)),
        tuple(part.weight.astype(np.float32) for part in slices),
        tuple(part.bias.astype(np.float32) for part in slices),
        PRODUCTS[cut.parts],
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
    )
    cutter.note(node, cut, values, error, 0.0, _bits(weight, slices))
    return builder.add(node, exact, [operand], "sum")


def _fits_one_slice(weight: DoubleArray) -> bool:
    """Whether one slice is all of the weights, as far as float32 knows them."""
    (first,) = slices_of(weight, np.zeros(len(weight)), CENTRE, 0, 1)
    return bool(np.abs(weight - first.weight).max() <= NOTHING * np.abs(weight).max())


def _bits(weight: DoubleArray, slices: list[Gridded]) -> int:
    """Bits of the largest weight of the channel that has least, all its slices together."""
    largest = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    used = largest > 0
    finest = slices[-1].exponents[used]
    return int(np.floor(np.log2(largest[used]) + finest).min()) + 1 if used.any() else 0


def border_offset(op: PixelConv2d, shape: Shape, result: Shape) -> BorderOffset:
    """E and the bias, by class of row and column.

    Args:
        op: the convolution.
        shape: of the image.
        result: of the convolution.
    """
    layer = op.layer
    taps = np.einsum("ocij,c->oij", layer.weight.astype(np.float64), op.offset)
    bias = np.zeros(len(taps)) if layer.bias is None else layer.bias.astype(np.float64)
    (rows, inside_rows), (columns, inside_columns) = (_classes(op, axis, shape, result) for axis in (0, 1))
    # Correctly rounded sums of a few terms: the same on every machine.
    offset = np.einsum("oij,ri,sj->ors", taps, inside_rows, inside_columns) + bias[:, None, None]
    offset[np.abs(offset) < NEGLIGIBLE] = 0.0
    return BorderOffset(offset.astype(np.float32), rows, columns)


def _classes(
    op: PixelConv2d, axis: int, shape: Shape, result: Shape
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The class of every row (column) of the result, and per class which taps lie inside the image, 0 or 1 [classes, taps]."""
    layer, size = op.layer, shape[2 + axis]
    first = np.arange(result[2 + axis]) * layer.stride[axis] - layer.padding[axis] - op.pads[axis][0]
    places = first[:, None] + np.arange(layer.weight.shape[2 + axis]) * layer.dilation[axis]
    inside = (places >= 0) & (places < size)
    classes, numbers = np.unique(inside, axis=0, return_inverse=True)
    return numbers.reshape(-1).astype(np.int64), classes.astype(np.float64)
