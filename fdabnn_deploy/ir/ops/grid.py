"""Operators that bring values onto dyadic grids, where float32 sums are exact in every order.

The grid of exponent e holds the multiples of `2^-e`. Sums of grid values are exact as long as their magnitude stays below `2^24`
grid units (Higham, Accuracy and Stability of Numerical Algorithms, 2.1: float32 holds every integer up to 2^24).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.ops.base import Array, Op, Shape, require


@dataclass(frozen=True, eq=False)
class Saturate(Op):
    """`y = max'(min'(x, high), low)` with `min'(x, h) = x if x < h else h` and `max'(x, l) = x if x > l else l`.

    Spelled as comparisons because minimum and maximum of NaN differ between runtimes: here NaN gives `high`, as +infinity does.
    It stands at the graph's inputs, so that everything behind it is finite.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        limit = float(np.finfo(np.float32).max)
        require(
            -limit <= self.low <= self.high <= limit,
            f"limits {self.low} and {self.high} are not finite and ordered",
        )

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def reference(self, *inputs: Array) -> Array:
        low, high = np.float32(self.low), np.float32(self.high)
        below = np.where(inputs[0] < high, inputs[0], high)
        return np.where(below > low, below, low)


@dataclass(frozen=True, eq=False)
class RoundToGrid(Op):
    """`y = rint(x * 2^exponent) * 2^-exponent`, halves to even: the nearest multiple of `2^-exponent`.

    Both products are exact, so the operator rounds once.
    """

    exponent: int

    def __post_init__(self) -> None:
        require(
            abs(self.exponent) <= 100, f"grid exponent {self.exponent} is beyond what float32 can scale by"
        )

    @property
    def units(self) -> np.float32:
        """`2^exponent`, grid units per 1."""
        return np.float32(2.0**self.exponent)

    @property
    def step(self) -> np.float32:
        """`2^-exponent`, the distance of two grid values."""
        return np.float32(2.0**-self.exponent)

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def reference(self, *inputs: Array) -> Array:
        rounded: Array = np.rint(inputs[0] * self.units) * self.step
        return rounded
