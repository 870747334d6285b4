"""Bounds of a tensor that hold for every possible input: an interval per channel, and the grid that all values lie on.

A tensor on the grid of exponent g holds multiples of `2^-g` only. Sums of such values are exact in float32 while they stay below `2^24`
units; nonzero values are at least `2^-g`, so with g <= 126 no value is ever denormal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.array_types import DoubleArray

EXACT_UNITS = 2**24
"""float32 holds every integer up to this magnitude."""

ROUNDING = 2.0**-23
"""Twice the relative error of one rounding: intervals grow by it wherever a runtime rounds."""


@dataclass(frozen=True)
class Values:
    """Bounds of a tensor.

    Attributes:
        low: smallest value of each channel (dimension 1), float64 [C].
        high: largest value, likewise.
        grid: all values are multiples of `2^-grid`.
    """

    low: DoubleArray
    high: DoubleArray
    grid: int

    @property
    def magnitude(self) -> float:
        """Largest absolute value."""
        return float(max(np.abs(self.low).max(), np.abs(self.high).max()))

    @property
    def units(self) -> float:
        """Largest absolute value in grid units."""
        return math.ldexp(self.magnitude, self.grid)


def uniform(low: float, high: float, grid: int, channels: int) -> Values:
    """The same interval for all channels."""
    return Values(np.full(channels, float(low)), np.full(channels, float(high)), grid)


def widen(low: DoubleArray, high: DoubleArray, grid: int) -> Values:
    """The values after one rounding of what lies between the limits."""
    return Values(low - np.abs(low) * ROUNDING, high + np.abs(high) * ROUNDING, grid)


def grid_of(values: NDArray[np.float32] | float) -> int:
    """The smallest g >= 0 for which all values are multiples of `2^-g`; 0 for integers."""
    array = np.atleast_1d(np.asarray(values, dtype=np.float32))
    array = array[array != 0]
    if not array.size:
        return 0
    mantissa, exponent = np.frexp(array.astype(np.float64))
    # 24 bits hold every float32 mantissa: as an odd number times a power of two.
    integers = np.abs(mantissa * 2.0**24).astype(np.int64)
    trailing = np.frexp((integers & -integers).astype(np.float64))[1] - 1
    return max(0, int((24 - exponent - trailing).max()))


def clipped(x: Values, low: float, high: float) -> Values:
    """The values limited to an interval, whose ends may be infinite."""
    grid = x.grid
    for limit in (low, high):
        grid = max(grid, grid_of(limit)) if math.isfinite(limit) else grid
    limits = float(np.float32(low)), float(np.float32(high))
    return Values(np.clip(x.low, *limits), np.clip(x.high, *limits), grid)
