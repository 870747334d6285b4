"""Bringing the parameters of a reduction onto grids on which every partial sum, in any order, is exact in float32.

With operands x on the grid of exponent i, `|x| <= M`, and the weights and bias of output channel o on grids of exponent `j_o` and
`i + j_o`, all partial sums are integers in units of `2^-(i + j_o)`, and exact if

    sum_k |w_ok| M + |b_o|  <  2^24 units.

`j_o` is the largest exponent that keeps this bound after rounding, and weights of no more bits than a file keeps of them. Where that leaves
the weights too coarse, they are split into slices, `w = w0 + w1 + ...`, with w0 on the grid above and each further slice on the finest
grid that its own, much smaller, sum allows: an exact sum for each, and rounded additions of their results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.ranges import EXACT_UNITS

MAX_EXPONENT = 100
"""Finer grids would leave the exponents of float32."""

Exponents = NDArray[np.int64]


@dataclass(frozen=True)
class Gridded:
    """Parameters on their grids, float64 values that float32 holds exactly.

    Attributes:
        weight: in the shape of the original.
        bias: [O].
        exponents: j per output channel, of the weights.
    """

    weight: DoubleArray
    bias: DoubleArray
    exponents: Exponents


def to_grid(
    weight: DoubleArray,
    bias: DoubleArray,
    magnitude: float,
    exponent: int,
    bits: int | None = None,
    finest: Exponents | None = None,
) -> Gridded:
    """Rounds weights [O, ...] and bias [O] for operands `|x| <= magnitude` on the grid of `exponent`.

    Where an addend is so large that no weight would be left beside it, the bound still holds: weights become 0.

    Args:
        weight: to be rounded.
        bias: likewise.
        magnitude: of the operands.
        exponent: of their grid.
        bits: of the weights' integers with their signs, None for as many as the bound leaves.
        finest: exponents at most, per output channel.
    """
    rows = weight.reshape(len(weight), -1)
    units = math.floor(math.ldexp(magnitude, exponent))
    total = np.abs(rows).sum(axis=1) * units + np.ldexp(np.abs(bias), exponent)
    with np.errstate(divide="ignore"):
        room = np.floor(np.log2((EXACT_UNITS - 1) / total))
    largest, most = np.abs(rows).max(axis=1), most_units(bits)
    if most is not None:
        with np.errstate(divide="ignore"):
            room = np.minimum(room, np.floor(np.log2(most / largest)))
    if finest is not None:
        room = np.minimum(room, finest)
    chosen = np.where(total > 0, np.clip(room, -MAX_EXPONENT, MAX_EXPONENT - max(exponent, 0)), 0).astype(
        np.int64
    )
    while True:
        gridded = _round(weight, bias, chosen, exponent)
        sums = _units(gridded, units, exponent)
        over = sums >= EXACT_UNITS
        if most is not None:
            over |= np.ldexp(np.abs(gridded.weight).reshape(rows.shape).max(axis=1), chosen) > most
        if not np.any(over):
            return gridded
        # Rounding up can pass the bound: one bit less.
        chosen = chosen - over


def most_units(bits: int | None) -> int | None:
    """The largest magnitude of a signed integer of so many bits that its negative has, too."""
    return None if bits is None else 2 ** (bits - 1) - 1


def slices_with_kept_sums(
    weight: DoubleArray, bias: DoubleArray, magnitude: float, exponent: int, count: int, bits: int | None
) -> list[Gridded]:
    """As `slices_of`; of the last slice, the rounding errors of every kernel add up to less than a step (`with_kept_sums`).

    Records of earlier versions, without a number of bits, have the nearest roundings.
    """
    slices = slices_of(weight, bias, magnitude, exponent, count, bits)
    if bits is None or weight[0, 0].size == 1:
        return slices
    rest = weight - sum((part.weight for part in slices[:-1]), np.zeros_like(weight))
    return [*slices[:-1], with_kept_sums(slices[-1], rest, magnitude, exponent, bits)]


def slices_of(
    weight: DoubleArray,
    bias: DoubleArray,
    magnitude: float,
    exponent: int,
    count: int,
    bits: int | None = None,
) -> list[Gridded]:
    """Splits weights [O, ...] and bias [O] into `count` slices, each on its own grid; arguments as `to_grid`.

    Slices that have nothing left to hold are zeros.
    """
    slices = []
    for _ in range(count):
        part = to_grid(weight, bias, magnitude, exponent, bits)
        weight, bias = weight - part.weight, bias - part.bias
        slices.append(part)
    return slices


def with_kept_sums(
    part: Gridded, weight: DoubleArray, magnitude: float, exponent: int, bits: int | None = None
) -> Gridded:
    """The slice with roundings chosen so that the errors of every kernel [O, C] add up to less than a step, where its bound allows that.

    Neighbouring values of images are alike, and so an error common to the taps of a kernel is what shows.

    Args:
        part: nearest multiples, without a bias.
        weight: that it was rounded from, [O, C, ...].
        magnitude: of the operands.
        exponent: of their grid.
        bits: of the weights' integers, None for as many as the bound leaves.
    """
    scale = np.ldexp(1.0, part.exponents.astype(np.int32)).reshape((-1,) + (1,) * (weight.ndim - 1))
    exact = (weight * scale).reshape(*weight.shape[:2], -1)
    rounded = (part.weight * scale).reshape(exact.shape)
    left = exact - rounded
    missing = np.rint(left.sum(axis=2)).astype(np.int64)
    # The taps that were rounded farthest from where the sum has to go are moved a step.
    order = np.argsort(-left * np.sign(missing)[:, :, None], axis=2, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.broadcast_to(np.arange(order.shape[2]), order.shape), axis=2)
    moved = rounded + np.where(place < np.abs(missing)[:, :, None], np.sign(missing)[:, :, None], 0)
    kept = Gridded(moved.reshape(weight.shape) / scale + 0.0, part.bias, part.exponents)
    over = _units(kept, math.floor(math.ldexp(magnitude, exponent)), exponent) >= EXACT_UNITS
    most = most_units(bits)
    if most is not None:
        over |= np.abs(moved).reshape(len(weight), -1).max(axis=1) > most
    fits = np.where(over.reshape(scale.shape), part.weight, kept.weight)
    return Gridded(fits, part.bias, part.exponents)


def _round(weight: DoubleArray, bias: DoubleArray, exponents: Exponents, exponent: int) -> Gridded:
    scale = np.ldexp(1.0, exponents.astype(np.int32))
    shaped = scale.reshape((-1,) + (1,) * (weight.ndim - 1))
    offset = np.ldexp(1.0, (exponents + exponent).astype(np.int32))
    # `+ 0.0` makes negative zeros positive.
    return Gridded(np.rint(weight * shaped) / shaped + 0.0, np.rint(bias * offset) / offset + 0.0, exponents)


def _units(gridded: Gridded, units: int, exponent: int) -> DoubleArray:
    """The largest magnitude of any partial sum per output channel, in units of `2^-(i + j)`: integers below 2^53, hence exact."""
    rows = np.abs(gridded.weight).reshape(len(gridded.weight), -1).sum(axis=1)
    result: DoubleArray = np.ldexp(rows, gridded.exponents.astype(np.int32)) * units + np.ldexp(
        np.abs(gridded.bias), (gridded.exponents + exponent).astype(np.int32)
    )
    return result
