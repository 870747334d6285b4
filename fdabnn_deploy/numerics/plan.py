"""Choosing the grid of a reduction's operand, and whether to split the weights.

24 bits are shared between operand, weights and the number of terms: a finer operand means coarser weights. For each operand exponent i the
rounding noise of a sum of K terms relative to the sum is, with errors uniform over a grid step and terms taken as independent,

    (4^-i / 12 sum w^2 + 4^-j / 12 K E[x^2]) / (sum w^2 E[x^2]),

the first half being absent where the operand stays on the grid that it is on anyway. The exponent with the least mean noise wins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.numerics.record import Cut
from fdabnn_deploy.numerics.values import EXACT_UNITS, Values
from fdabnn_deploy.ops.base import DoubleArray

OPERAND_BITS = range(3, 21)
"""Magnitudes of the operand in units that are tried, as powers of two."""


@dataclass(frozen=True)
class Observed:
    """What was seen of a tensor on samples, or recorded in training; `mean_square` is E[x^2]."""

    low: float
    high: float
    mean_square: float


def limits(seen: Observed, values: Values, margin: float) -> tuple[float, float]:
    """What to clamp an operand to: the seen range with a margin, never beyond what is proven anyway.

    A limit is `margin` times the largest magnitude seen, rounded up to four significant bits, so that the last bits of the data do not
    matter; a side that is proven to stay at or above 0 stays there.
    """
    largest = max(abs(seen.low), abs(seen.high)) * margin
    if largest == 0:
        largest = 1.0
    step = 2.0 ** (math.frexp(largest)[1] - 4)
    limit = math.ceil(largest / step) * step
    low, high = float(values.low.min()), float(values.high.max())
    if low >= -limit and high <= limit:
        return low, high
    return max(-limit, min(low, 0.0)), min(limit, max(high, 0.0))


def choose(
    weight: DoubleArray, bias: DoubleArray, values: Values, seen: Observed, margin: float, tolerance: float
) -> tuple[Cut, float]:
    """The cut of a convolution or dense layer, and its predicted noise relative to the result's rms.

    Args:
        weight: [O, ...], as trained.
        bias: [O].
        values: bounds of the operand.
        seen: of the operand, on samples.
        margin: by which the seen range is widened.
        tolerance: noise from which on the weights are split.
    """
    low, high = limits(seen, values, margin)
    magnitude = max(abs(low), abs(high))
    power = max(seen.mean_square, (magnitude / 64) ** 2, 1e-60)
    top = math.frexp(magnitude)[1]
    candidates: list[int | None] = [bits - top for bits in OPERAND_BITS if bits - top < values.grid]
    if math.ldexp(magnitude, values.grid) < 2 ** OPERAND_BITS[-1]:
        candidates.append(None)
    flat = weight.reshape(len(weight), -1)
    rows = _Rows(flat.shape[1], np.abs(flat).sum(axis=1), np.square(flat).sum(axis=1), np.abs(bias))
    single = _best(rows, values, magnitude, power, candidates, split=False)
    if single[0] <= tolerance:
        noise, exponent, split = *single, False
    else:
        double = _best(rows, values, magnitude, power, candidates, split=True)
        split = double[0] < single[0] / 2
        noise, exponent = double if split else single
    return Cut(*_on_grid(low, high, exponent), exponent, split), noise


def _on_grid(low: float, high: float, exponent: int | None) -> tuple[float, float]:
    """Limits that rounding cannot leave."""
    if exponent is None:
        return low, high
    return math.ldexp(math.floor(math.ldexp(low, exponent)), -exponent), math.ldexp(
        math.ceil(math.ldexp(high, exponent)), -exponent
    )


@dataclass(frozen=True)
class _Rows:
    """What the prediction needs of the parameters: sums per output channel."""

    taps: int
    absolute: DoubleArray
    squares: DoubleArray
    bias: DoubleArray


def _best(
    rows: _Rows, values: Values, magnitude: float, power: float, candidates: list[int | None], split: bool
) -> tuple[float, int | None]:
    scored = [(_noise(rows, values, magnitude, power, exponent, split), exponent) for exponent in candidates]
    return min(scored, key=lambda pair: pair[0])


def _noise(
    rows: _Rows, values: Values, magnitude: float, power: float, exponent: int | None, split: bool
) -> float:
    grid = values.grid if exponent is None else exponent
    units = math.ceil(math.ldexp(magnitude, grid))
    used = (rows.squares > 0) & (rows.absolute > 0)
    if not np.any(used):
        return 0.0
    absolute, squares, bias = rows.absolute[used], rows.squares[used], rows.bias[used]
    finest = np.floor(np.log2(EXACT_UNITS / (absolute * units + np.ldexp(bias, grid))))
    if split:
        # What rounding to the coarse grid leaves is a quarter of a step on average.
        finest = np.floor(np.log2(EXACT_UNITS / (rows.taps * 2.0 ** (-finest - 2) * units)))
    noise = 4.0**-finest / 12 * rows.taps * power
    if exponent is not None:
        noise = noise + 4.0**-exponent / 12 * squares
    return float(np.sqrt(np.mean(noise / (squares * power))))
