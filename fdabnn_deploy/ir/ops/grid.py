"""Operators that bring values onto dyadic grids, where float32 sums are exact in every order.

The grid of exponent e holds the multiples of `2^-e`. Sums of grid values are exact as long as their magnitude stays below `2^24`
grid units (Higham, Accuracy and Stability of Numerical Algorithms, 2.1: float32 holds every integer up to 2^24).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.array_types import Array, Shape
from fdabnn_deploy.ir.ops.base import Corner, Drawn, Elementwise, TorchKernel, deployed, require
from fdabnn_deploy.ir.ops.drawing import image, limits
from fdabnn_deploy.ir.ranges import Values, clipped


@deployed("grids")
@dataclass(frozen=True, eq=False)
class Saturate(Elementwise):
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

    def reference(self, *inputs: Array) -> Array:
        low, high = np.float32(self.low), np.float32(self.high)
        below = np.where(inputs[0] < high, inputs[0], high)
        return np.where(below > low, below, low)

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return clipped(inputs[0], self.low, self.high)

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        low, high = (torch.tensor(limit, dtype=torch.float32) for limit in (self.low, self.high))

        def saturate(x: torch.Tensor) -> torch.Tensor:
            below = torch.where(x < high, x, high)
            return torch.where(below > low, below, low)

        return saturate

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("saturate", cls(-1.5, 2.0), [(3, 5, 6)]),
            ("saturate to one value", cls(0.0, 0.0), [(3, 5, 6)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(*limits(rng)), [image(rng)]


@deployed("grids")
@dataclass(frozen=True, eq=False)
class RoundToGrid(Elementwise):
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

    def reference(self, *inputs: Array) -> Array:
        rounded: Array = np.rint(inputs[0] * self.units) * self.step
        return rounded

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        (x,) = inputs
        units = 2.0**self.exponent
        return Values(np.floor(x.low * units) / units, np.ceil(x.high * units) / units, self.exponent)

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        units, step = torch.tensor(self.units), torch.tensor(self.step)
        return lambda x: torch.round(x * units) * step

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        exponents = {"grid": 3, "integers": 0, "a coarse grid": -2, "a fine grid": 20}
        return [(f"round to {name}", cls(exponent), [(3, 5, 6)]) for name, exponent in exponents.items()]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(int(rng.integers(-4, 24))), [image(rng)]
