"""Affines whose parameters depend on the place in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.array_types import Array, DoubleArray, FloatArray, Shape
from fdabnn_deploy.ir.ops.base import Corner, Drawn, Op, TorchKernel, deployed, require
from fdabnn_deploy.ir.ops.drawing import floats, image
from fdabnn_deploy.ir.ranges import Values, grid_of, widen


@deployed("pointwise")
@dataclass(frozen=True, eq=False)
class PositionAffine(Op):
    """`y = fl(fl(x * scale) + offset)` with a number per place: scales per row and column, embeddings of positions, sums at borders.

    A scale of exactly 1 and an offset of exactly 0 compute nothing, and converters leave that half out.

    Shapes: x [N, C, ...], scale and offset float32 [C or 1, ...], which broadcast against an image of x.
    """

    scale: FloatArray
    offset: FloatArray

    def __post_init__(self) -> None:
        require(
            self.scale.dtype == np.float32 and self.offset.dtype == np.float32,
            "parameters by position are float32",
        )

    @property
    def has_scale(self) -> bool:
        """Whether the multiplication does anything."""
        return bool(np.any(self.scale != 1))

    @property
    def has_offset(self) -> bool:
        """Whether the addition does anything."""
        return bool(np.any(self.offset != 0))

    def infer(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        for values in (self.scale, self.offset):
            fits = values.ndim == len(x) - 1 and all(
                a in (1, b) for a, b in zip(values.shape, x[1:], strict=True)
            )
            require(fits, f"parameters by position {values.shape} on {x}")
        return x

    def reference(self, *inputs: Array) -> Array:
        y = inputs[0]
        if self.has_scale:
            y = y * self.scale
        if self.has_offset:
            y = y + self.offset
        return y

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        (x,) = inputs
        low, high, grid = x.low, x.high, x.grid
        if self.has_scale:
            scale = _by_channel(self.scale, shape)
            products = np.stack([low[:, None] * scale, high[:, None] * scale])
            grid += grid_of(self.scale)
            scaled = widen(products.min(axis=(0, 2)), products.max(axis=(0, 2)), grid)
            low, high = scaled.low, scaled.high
        if self.has_offset:
            offset = _by_channel(self.offset, shape)
            low, high = low + offset.min(axis=1), high + offset.max(axis=1)
            grid = max(grid, grid_of(self.offset))
        return widen(low, high, grid)

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        scale, offset = torch.tensor(self.scale), torch.tensor(self.offset)

        def affine(x: torch.Tensor) -> torch.Tensor:
            if self.has_scale:
                x = x * scale
            return x + offset if self.has_offset else x

        return affine

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        one, zero = np.ones((1, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)
        shape = (3, 5, 6)
        return [
            ("affine by position", cls(floats(rng, shape), floats(rng, shape)), [shape]),
            ("scale by row", cls(floats(rng, (1, 5, 1)), zero), [shape]),
            ("scale by column and channel", cls(floats(rng, (3, 1, 6)), zero), [shape]),
            ("offset by position", cls(one, floats(rng, (1, 5, 6), special=True)), [shape]),
            ("affine by position, identity", cls(one, zero), [shape]),
            ("offset by token", cls(np.ones((1, 1), np.float32), floats(rng, (4, 8))), [(4, 8)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        shape = image(rng)
        scale, offset = (floats(rng, tuple(1 if rng.random() < 0.3 else d for d in shape)) for _ in range(2))
        return cls(scale, offset), [shape]


@deployed("pointwise")
@dataclass(frozen=True, eq=False)
class BorderOffset(Op):
    """`y[n, c, i, j] = fl(x[n, c, i, j] + offset[c, rows[i], columns[j]])`: an offset per channel, others at the borders.

    Shapes: x [N, C, H, W], offset float32 [C, classes of rows, classes of columns], rows int64 [H], columns int64 [W].

    Attributes:
        offset: for every class.
        rows: the class of every row.
        columns: the class of every column.
    """

    offset: FloatArray
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    def __post_init__(self) -> None:
        require(
            self.offset.dtype == np.float32 and self.offset.ndim == 3,
            "an offset by class is float32 [C, R, S]",
        )
        for places, count in ((self.rows, self.offset.shape[1]), (self.columns, self.offset.shape[2])):
            require(
                places.ndim == 1 and bool(np.all((places >= 0) & (places < count))), "a class has no offset"
            )

    def infer(self, *inputs: Shape) -> Shape:
        (x,) = inputs
        places = (len(self.offset), len(self.rows), len(self.columns))
        require(x[1:] == places, f"an offset for images {places} on {x}")
        return x

    @property
    def placed(self) -> FloatArray:
        """The offset of every place, [C, H, W]."""
        return self.offset[:, self.rows][:, :, self.columns]

    def reference(self, *inputs: Array) -> Array:
        shifted: Array = inputs[0] + self.placed
        return shifted

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        (x,) = inputs
        offset = self.offset.astype(np.float64).reshape(len(self.offset), -1)
        return widen(
            x.low + offset.min(axis=1), x.high + offset.max(axis=1), max(x.grid, grid_of(self.offset))
        )

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        placed = torch.tensor(self.placed)
        return lambda x: x + placed

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        rows, columns = np.array([0, 1, 1, 1, 2]), np.array([0, 0, 1, 1, 2, 3])
        return [
            ("border offset", cls(floats(rng, (3, 3, 4), special=True), rows, columns), [(3, 5, 6)]),
            (
                "border offset, rows alike",
                cls(floats(rng, (2, 1, 3)), 0 * rows, np.array([0, 1, 1, 2])),
                [(2, 5, 4)],
            ),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        channels, height, width = image(rng)
        rows, columns = (rng.integers(0, 3, size) for size in (height, width))
        return cls(floats(rng, (channels, 3, 3)), rows, columns), [(channels, height, width)]


def _by_channel(values: FloatArray, shape: Shape) -> DoubleArray:
    """[C, places]."""
    return np.broadcast_to(values.astype(np.float64), shape[1:]).reshape(shape[1], -1)
