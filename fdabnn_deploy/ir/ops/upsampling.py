"""Operators that make images larger by moving values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.array_types import Array, DoubleArray, Shape
from fdabnn_deploy.ir.ops.base import Corner, Drawn, Mover, Op, TorchKernel, deployed, require
from fdabnn_deploy.ir.ops.drawing import image, pair

_LARGEST = 24
"""Height and width up to which random networks are enlarged."""


@deployed("moving values")
@dataclass(frozen=True, eq=False)
class DepthToSpace(Mover):
    """`y[n, c, r h + i, r w + j] = x[n, c r^2 + i r + j, h, w]`: PyTorch's PixelShuffle, ONNX's mode CRD.

    Shapes: x [N, C r^2, H, W], y [N, C, r H, r W], with r the `factor`.
    """

    factor: int

    def __post_init__(self) -> None:
        require(self.factor > 0, f"an image {self.factor} times as large")

    def infer(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        require(len(x) == 4, f"channels become pixels of [N, C, H, W], not of {x}")
        require(x[1] % self.factor**2 == 0, f"{x[1]} channels in blocks of {self.factor}x{self.factor}")
        return (x[0], x[1] // self.factor**2, x[2] * self.factor, x[3] * self.factor)

    def reference(self, *inputs: Array) -> Array:
        x, r = inputs[0], self.factor
        batch, channels, height, width = x.shape
        blocks = x.reshape(batch, channels // r**2, r, r, height, width)
        return blocks.transpose(0, 1, 4, 2, 5, 3).reshape(batch, channels // r**2, height * r, width * r)

    def channels(self, values: DoubleArray, before: Shape, after: Shape, worst: np.ufunc) -> DoubleArray:
        found: DoubleArray = worst.reduce(values.reshape(after[1], -1), axis=1)
        return found

    @classmethod
    def fitting(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> Op | None:
        fits = len(shape) == 3 and shape[0] % 4 == 0 and 2 * max(shape[1:]) <= _LARGEST
        return cls(2) if fits else None

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch.nn.functional as F

        return lambda x: F.pixel_shuffle(x, self.factor)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("depth to space", cls(2), [(12, 3, 4)]),
            ("depth to space of one channel", cls(3), [(9, 2, 3)]),
            ("depth to space of one pixel", cls(2), [(8, 1, 1)]),
            ("depth to space of nothing", cls(1), [(3, 5, 6)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        factor = int(rng.integers(1, 4))
        channels, height, width = (int(rng.integers(1, 6)) for _ in range(3))
        return cls(factor), [(channels * factor**2, height, width)]


@deployed("moving values")
@dataclass(frozen=True, eq=False)
class UpsampleNearest(Mover):
    """`y[n, c, i, j] = x[n, c, i // r, j // s]`: the nearest neighbour, for a whole number of times in height and width.

    Runtimes compute `floor(i * (1 / r))` in float32, which is `i // r` for nearly all r; others are refused.

    Shapes: x [N, C, H, W], y [N, C, r H, s W], with (r, s) the `factors`.
    """

    factors: tuple[int, int]

    def infer(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        require(len(x) == 4, f"an upsampled image is [N, C, H, W], not {x}")
        for size, factor in zip(x[2:], self.factors, strict=True):
            require(factor > 0, f"an image {factor} times as large")
            places = np.arange(size * factor)
            nearest = np.floor(places.astype(np.float32) * np.float32(1 / factor))
            require(
                np.array_equal(nearest, places // factor), f"{factor} times as large is inexact in float32"
            )
        return (*x[:2], x[2] * self.factors[0], x[3] * self.factors[1])

    def reference(self, *inputs: Array) -> Array:
        return inputs[0].repeat(self.factors[0], axis=2).repeat(self.factors[1], axis=3)

    def channels(self, values: DoubleArray, before: Shape, after: Shape, worst: np.ufunc) -> DoubleArray:
        return values

    @classmethod
    def fitting(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> Op | None:
        fits = len(shape) == 3 and 2 * max(shape[1:]) <= _LARGEST
        return cls((2, 2)) if fits else None

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch.nn.functional as F

        factors = tuple(map(float, self.factors))
        return lambda x: F.interpolate(x, scale_factor=factors, mode="nearest")

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("upsample", cls((2, 2)), [(3, 4, 5)]),
            ("upsample by 3 and 7", cls((3, 7)), [(2, 5, 4)]),
            ("upsample one pixel", cls((4, 4)), [(3, 1, 1)]),
            ("upsample columns", cls((1, 5)), [(3, 5, 6)]),
            ("upsample nothing", cls((1, 1)), [(3, 5, 6)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(pair(rng, 1, 5)), [image(rng)]
