"""Choosing the grids of a reduction: how float32's 24 bits are shared between operand, weights and the number of terms.

The result may be one exact sum or several, which are then added with one rounding each: the Ozaki scheme (Ozaki et al. 2012,
docs/numerics.md). Operand and weights are split into slices without error, `x = x0 + x1 + x2`: each slice is what the slices before it
leave, rounded to the finest grid on which its sum is exact too; `w = w0 + w1 + w2` likewise (`weight_grids`). Slices of the weights are
integers of `WEIGHT_BITS` bits times a power of two, as files keep them; what float32 has left goes to the operand. There is one sum per
partial product of two slices, the most significant ones first (`PRODUCTS`):

    1 part:   x0 w0
    2 parts:  x0 w0 + x0 w1
    3 parts:  x0 w0 + x1 w0 + x0 w1
    4 parts:  x0 w0 + x0 w1 + x1 w0 + x0 w2
    5 parts:  x0 w0 + x0 w1 + x1 w0 + x0 w2 + x1 w1
    6 parts:  x0 w0 + x1 w0 + x0 w1 + x2 w0 + x1 w1 + x0 w2

In a binary network a relative error of 10^-5 in front of the first sign changes one label in fifty, in deep ones half of them, because a
flipped sign flips others behind it: so parts are added until the predicted error is below a tolerance.

With errors uniform over a grid step and terms taken as independent, the error of a sum of K terms relative to the sum is the root of

    K (E[x^2] W' + X' E[w^2] + sum of E[xa^2] E[wb^2] over the products left out) / (K E[x^2] E[w^2]),

X' and W' being the mean squares of what the last slices leave: `4^-e / 12` for a last grid of exponent e.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.exact.record import Cut
from fdabnn_deploy.exact.weight_grids import most_units
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.ranges import EXACT_UNITS, Values

PRODUCTS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 0),),
    2: ((0, 0), (0, 1)),
    3: ((0, 0), (1, 0), (0, 1)),
    4: ((0, 0), (0, 1), (1, 0), (0, 2)),
    5: ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1)),
    6: ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)),
}
"""By the number of parts: the slices of the operand and of the weights that are multiplied."""

SLICES: dict[int, tuple[int, ...]] = {1: (1,), 2: (1, 2, 3)}
"""By the most slices that operand and weights may have: the numbers of parts, where a caller says how many slices a layer has."""

WEIGHT_BITS = 8
"""Of a slice of the weights, with its sign."""

OPERAND_BITS = range(3, 21)
"""Magnitudes of the operand's first slice in units that are tried, as powers of two."""

SMALLEST_LIMIT = 2.0**-40
"""Where nothing but zeros and the like was seen, values up to 1 are kept."""


@dataclass(frozen=True)
class Observed:
    """Statistics of a tensor on samples, or recorded in training; `mean_square` is E[x^2]."""

    low: float
    high: float
    mean_square: float


def limits(seen: Observed, values: Values, margin: float) -> tuple[float, float]:
    """The limits that an operand is clamped to: the observed range with a margin, never beyond what is proven anyway.

    A limit is `margin` times the largest magnitude seen, rounded up to four significant bits, so that the last bits of the data do not
    matter; a side that is proven to stay at or above 0 stays there.
    """
    largest = max(abs(seen.low), abs(seen.high)) * margin
    if largest < SMALLEST_LIMIT:
        largest = 1.0
    step = 2.0 ** (math.frexp(largest)[1] - 4)
    limit = math.ceil(largest / step) * step
    low, high = float(values.low.min()), float(values.high.max())
    if low >= -limit and high <= limit:
        return low, high
    return max(-limit, min(low, 0.0)), min(limit, max(high, 0.0))


def slice_counts(parts: int) -> tuple[int, int]:
    """How many slices of the operand and of the weights a number of parts uses."""
    operand, weight = zip(*PRODUCTS[parts], strict=True)
    return 1 + max(operand), 1 + max(weight)


def slice_exponents(magnitude: float, exponent: int, count: int) -> list[int]:
    """The exponents of an operand's slices: each remainder has as many units of its grid as the first slice has, or fewer."""
    return [
        exponent + index * math.ceil(math.ldexp(magnitude, exponent)).bit_length() for index in range(count)
    ]


def choose(
    weight: DoubleArray,
    bias: DoubleArray,
    values: Values,
    seen: Observed,
    margin: float,
    tolerance: float,
    bits: int | None = WEIGHT_BITS,
    slices: int | None = None,
) -> tuple[Cut, float]:
    """The cut of a convolution or dense layer, and its predicted error relative to the result's rms.

    Args:
        weight: [O, ...], as trained.
        bias: [O].
        values: bounds of the operand.
        seen: of the operand, on samples.
        margin: by which the seen range is widened.
        tolerance: the error from which on a further part is added.
        bits: of a slice of the weights, None for as many as its sums leave.
        slices: of operand and weights at most, a key of `SLICES`; None for as many as the tolerance asks for.
    """
    low, high = limits(seen, values, margin)
    magnitude = max(abs(low), abs(high))
    if magnitude == 0:
        return Cut(low, high, None), 0.0
    power = max(seen.mean_square, (magnitude / 64) ** 2, 1e-60)
    top = math.frexp(magnitude)[1]
    candidates: list[int | None] = [bits - top for bits in OPERAND_BITS if bits - top < values.grid]
    as_it_comes = math.ldexp(magnitude, values.grid) < 2 ** OPERAND_BITS[-1]
    exponents = [*candidates, None] if as_it_comes else candidates
    parts = tuple(PRODUCTS) if slices is None else SLICES[slices]
    best = _fewest_parts(_rows(weight, bias, bits), values, magnitude, power, exponents, tolerance, parts)
    return Cut(*_on_grid(low, high, best.exponent), best.exponent, best.parts, bits), best.error


@dataclass(frozen=True)
class _Plan:
    error: float
    exponent: int | None
    parts: int


def _fewest_parts(
    rows: _Rows,
    values: Values,
    magnitude: float,
    power: float,
    exponents: list[int | None],
    tolerance: float,
    choices: tuple[int, ...],
) -> _Plan:
    """The fewest parts, and the operand's grid, whose error is within the tolerance, or as far as further parts pay."""
    best = _Plan(math.inf, None, 1)
    for parts in choices:
        for exponent in exponents:
            error = _error(rows, values, magnitude, power, exponent, parts)
            if error < (best.error / 2 if parts > best.parts else best.error):
                best = _Plan(error, exponent, parts)
        if best.error <= tolerance:
            break
    return best


def fewest_slices(
    weight: DoubleArray, values: Values, seen: Observed, bits: int | None = None, most: int = 2
) -> tuple[int, float]:
    """How many slices of the weights, 1 or 2, an operand that stays as it comes needs, and the predicted error.

    Args:
        weight: [O, ...], as trained.
        values: bounds of the operand.
        seen: of the operand, on samples.
        bits: of a slice of the weights, None for as many as its sums leave.
        most: slices at most.
    """
    rows = _rows(weight, np.zeros(len(weight)), bits)
    power = max(seen.mean_square, (values.magnitude / 64) ** 2)
    one, two = (_error(rows, values, values.magnitude, power, None, parts) for parts in (1, 2))
    return (2, two) if most > 1 and two < one / 2 else (1, one)


def _on_grid(low: float, high: float, exponent: int | None) -> tuple[float, float]:
    """Limits that rounding cannot leave."""
    if exponent is None:
        return low, high
    return math.ldexp(math.floor(math.ldexp(low, exponent)), -exponent), math.ldexp(
        math.ceil(math.ldexp(high, exponent)), -exponent
    )


@dataclass(frozen=True)
class _Rows:
    """Sums of the parameters per output channel, from which the error is predicted, and the bits that slices of the weights may have."""

    taps: int
    absolute: DoubleArray
    squares: DoubleArray
    largest: DoubleArray
    bias: DoubleArray
    bits: int | None


def _rows(weight: DoubleArray, bias: DoubleArray, bits: int | None) -> _Rows:
    flat = np.abs(weight.reshape(len(weight), -1))
    squares = np.square(flat).sum(axis=1)
    return _Rows(flat.shape[1], flat.sum(axis=1), squares, flat.max(axis=1), np.abs(bias), bits)


def _error(
    rows: _Rows, values: Values, magnitude: float, power: float, exponent: int | None, parts: int
) -> float:
    grid = values.grid if exponent is None else exponent
    units = math.ceil(math.ldexp(magnitude, grid))
    used = rows.squares > 0
    if not np.any(used):
        return 0.0
    operand_slices, weight_slices = slice_counts(parts)
    left = slice_exponents(magnitude, grid, operand_slices)
    operand = [power, *(4.0**-finest / 12 if finest < values.grid else 0.0 for finest in left)]
    squares = rows.squares[used] / rows.taps
    weight = [squares]
    total, largest = rows.absolute[used] * units + np.ldexp(rows.bias[used], grid), rows.largest[used]
    most = most_units(rows.bits)
    for _ in range(weight_slices):
        finest = np.floor(np.log2(EXACT_UNITS / total))
        if most is not None:
            finest = np.minimum(finest, np.floor(np.log2(most / largest)))
        weight.append(4.0**-finest / 12)
        # What rounding leaves of a weight is a quarter of a step on average.
        total, largest = rows.taps * 2.0 ** (-finest - 2) * units, 2.0 ** (-finest - 1)
    noise = operand[0] * weight[-1] + operand[-1] * weight[0]
    for a in range(operand_slices):
        for b in range(weight_slices):
            if (a, b) not in PRODUCTS[parts]:
                noise = noise + operand[a] * weight[b]
    return float(np.sqrt(np.mean(noise / (squares * power))))
