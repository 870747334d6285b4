"""Operators that move values without computing: padding, slicing, joining, reshaping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdabnn_deploy.ir.array_types import Array, DoubleArray, Shape
from fdabnn_deploy.ir.ops.base import BATCH, Corner, Drawn, Mover, Op, TorchKernel, deployed, require
from fdabnn_deploy.ir.ops.drawing import image, pair
from fdabnn_deploy.ir.ranges import Values, grid_of

_IMAGE = (3, 5, 6)


@deployed("moving values")
@dataclass(frozen=True, eq=False)
class Input(Op):
    """A graph input of per-image shape `shape`: normalised float32 images as the checkpoint's model takes them, or bytes.

    Attributes:
        shape: of one image.
        pixels: whether it holds pixels, uint8 0 .. 255, which a `CentredPixels` reads.
    """

    shape: tuple[int, ...]
    pixels: bool = False
    arity: ClassVar[int | None] = 0

    def infer(self, *inputs: Shape) -> Shape:
        return (BATCH, *self.shape)

    def reference(self, *inputs: Array) -> Array:
        raise AssertionError("inputs are fed, not computed")


@deployed("moving values")
@dataclass(frozen=True, eq=False)
class Pad(Op):
    """Constant padding: `pads[d] = (before, after)` for every dimension but the batch."""

    pads: tuple[tuple[int, int], ...]
    value: float = 0.0

    def __post_init__(self) -> None:
        require(all(p >= 0 for pair in self.pads for p in pair), f"negative padding {self.pads}")

    def infer(self, *inputs: Shape) -> Shape:
        x = inputs[0]
        require(len(self.pads) == len(x) - 1, f"{len(self.pads)} pads for {x}")
        return (x[0], *(d + sum(p) for d, p in zip(x[1:], self.pads, strict=True)))

    def reference(self, *inputs: Array) -> Array:
        return np.pad(inputs[0], ((0, 0), *self.pads), constant_values=np.float32(self.value))

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        (x,) = inputs
        low, high = x.low, x.high
        if self.pads[0] != (0, 0):
            low, high = (np.pad(limit, self.pads[0], constant_values=self.value) for limit in (low, high))
        value = float(np.float32(self.value))
        return Values(np.minimum(low, value), np.maximum(high, value), max(x.grid, grid_of(self.value)))

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch.nn.functional as F

        # PyTorch counts dimensions from the last.
        pads = [amount for before_behind in reversed(self.pads) for amount in before_behind]
        return lambda x: F.pad(x, pads, value=self.value)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("pad", cls(((0, 0), (1, 2), (0, 3))), [_IMAGE]),
            ("pad channels", cls(((2, 1), (0, 0), (0, 0)), value=-1.5), [_IMAGE]),
            ("pad nothing", cls(((0, 0), (0, 0), (0, 0))), [_IMAGE]),
            ("pad a vector", cls(((1, 2),), value=1.0), [(4,)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        pads = tuple(pair(rng, 0, 3) for _ in range(3))
        return cls(pads, float(rng.standard_normal(dtype=np.float32))), [image(rng)]


@deployed("moving values")
@dataclass(frozen=True, eq=False)
class Slice(Mover):
    """`x[:, b0:e0:s0, b1:e1:s1, ...]`: `ranges[d] = (begin, end, step)`, non-negative and within the tensor, step > 0."""

    ranges: tuple[tuple[int, int, int], ...]

    def infer(self, *inputs: Shape) -> Shape:
        x = inputs[0]
        require(len(self.ranges) == len(x) - 1, f"{len(self.ranges)} ranges for {x}")
        out = []
        for size, (begin, end, step) in zip(x[1:], self.ranges, strict=True):
            require(0 <= begin < end <= size and step > 0, f"slice {begin}:{end}:{step} of {size}")
            out.append(math.ceil((end - begin) / step))
        return (x[0], *out)

    def reference(self, *inputs: Array) -> Array:
        return inputs[0][(slice(None), *(slice(*r) for r in self.ranges))]

    def channels(self, values: DoubleArray, before: Shape, after: Shape, worst: np.ufunc) -> DoubleArray:
        return values[slice(*self.ranges[0])]

    def torch_kernel(self, rank: int) -> TorchKernel:
        index = (slice(None), *(slice(*bounds) for bounds in self.ranges))
        return lambda x: x[index]

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("slice every second", cls(((0, 3, 1), (0, 5, 2), (1, 6, 2))), [_IMAGE]),
            ("slice channels", cls(((1, 2, 1), (0, 5, 1), (0, 6, 1))), [_IMAGE]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        shape = image(rng)
        begins = [int(rng.integers(d)) for d in shape]
        ranges = tuple(
            (b, int(rng.integers(b + 1, d + 1)), int(rng.integers(1, 4)))
            for b, d in zip(begins, shape, strict=True)
        )
        return cls(ranges), [shape]


@deployed("moving values")
@dataclass(frozen=True, eq=False)
class Concat(Op):
    """Joins tensors along dimension 1 (channels)."""

    arity: ClassVar[int | None] = None

    def infer(self, *inputs: Shape) -> Shape:
        first = inputs[0]
        require(all(x[:1] + x[2:] == first[:1] + first[2:] for x in inputs), f"cannot join {inputs}")
        return (first[0], sum(x[1] for x in inputs), *first[2:])

    def reference(self, *inputs: Array) -> Array:
        return np.concatenate(inputs, axis=1)

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return Values(
            np.concatenate([x.low for x in inputs]),
            np.concatenate([x.high for x in inputs]),
            max(x.grid for x in inputs),
        )

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        return lambda *x: torch.cat(x, dim=1)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("concat", cls(), [_IMAGE, (2, 5, 6), _IMAGE]),
            ("concat of one", cls(), [_IMAGE]),
            ("concat vectors", cls(), [(3,), (4,)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        channels, *size = image(rng)
        return cls(), [(channels + i, *size) for i in range(int(rng.integers(1, 4)))]


@deployed("moving values")
@dataclass(frozen=True, eq=False)
class Reshape(Mover):
    """Gives each image the shape `shape` in C order (channels first): flatten, view, squeeze."""

    shape: tuple[int, ...]

    def infer(self, *inputs: Shape) -> Shape:
        require(
            math.prod(inputs[0][1:]) == math.prod(self.shape), f"cannot reshape {inputs[0]} to {self.shape}"
        )
        return (inputs[0][0], *self.shape)

    def reference(self, *inputs: Array) -> Array:
        return inputs[0].reshape((-1, *self.shape) if inputs[0].size else (0, *self.shape))

    def channels(self, values: DoubleArray, before: Shape, after: Shape, worst: np.ufunc) -> DoubleArray:
        if len(after) <= 2:
            return np.repeat(values, math.prod(before[2:]))
        return values if after[1] == before[1] else np.full(after[1], worst.reduce(values))

    def torch_kernel(self, rank: int) -> TorchKernel:
        return lambda x: x.reshape(len(x), *self.shape)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("flatten", cls((90,)), [_IMAGE]), ("reshape a vector", cls((3, 2, 2)), [(12,)])]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        a, b, c = image(rng)
        return cls([(a * b * c,), (a * b, c), (c, a, b)][int(rng.integers(3))]), [(a, b, c)]


@deployed("moving values")
@dataclass(frozen=True, eq=False)
class Permute(Mover):
    """Transposes the dimensions behind the batch: `y = x.transpose(0, *order)`, order counts from 1."""

    order: tuple[int, ...]

    def infer(self, *inputs: Shape) -> Shape:
        require(sorted(self.order) == list(range(1, len(inputs[0]))), f"order {self.order} for {inputs[0]}")
        return (inputs[0][0], *(inputs[0][d] for d in self.order))

    def reference(self, *inputs: Array) -> Array:
        return np.transpose(inputs[0], (0, *self.order))

    def channels(self, values: DoubleArray, before: Shape, after: Shape, worst: np.ufunc) -> DoubleArray:
        return values if self.order[0] == 1 else np.full(after[1], worst.reduce(values))

    def torch_kernel(self, rank: int) -> TorchKernel:
        return lambda x: x.permute(0, *self.order)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("permute", cls((2, 3, 1)), [_IMAGE]), ("permute nothing", cls((1, 2, 3)), [_IMAGE])]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(tuple(int(d) for d in rng.permutation(3) + 1)), [image(rng)]
