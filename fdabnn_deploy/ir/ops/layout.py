"""Operators that move values without computing: padding, slicing, joining, reshaping."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdabnn_deploy.ir.ops.base import BATCH, Array, Op, Shape, require


@dataclass(frozen=True, eq=False)
class Input(Op):
    """A graph input of per-image shape `shape`: normalised float32 images as the checkpoint's model takes them."""

    shape: tuple[int, ...]
    arity: ClassVar[int | None] = 0

    def infer(self, *inputs: Shape) -> Shape:
        return (BATCH, *self.shape)

    def reference(self, *inputs: Array) -> Array:
        raise AssertionError("inputs are fed, not computed")


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


@dataclass(frozen=True, eq=False)
class Slice(Op):
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


@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """Gives each image the shape `shape` in C order (channels first): flatten, view, squeeze."""

    shape: tuple[int, ...]

    def infer(self, *inputs: Shape) -> Shape:
        require(
            math.prod(inputs[0][1:]) == math.prod(self.shape), f"cannot reshape {inputs[0]} to {self.shape}"
        )
        return (inputs[0][0], *self.shape)

    def reference(self, *inputs: Array) -> Array:
        return inputs[0].reshape((-1, *self.shape) if inputs[0].size else (0, *self.shape))


@dataclass(frozen=True, eq=False)
class Permute(Op):
    """Transposes the dimensions behind the batch: `y = x.transpose(0, *order)`, order counts from 1."""

    order: tuple[int, ...]

    def infer(self, *inputs: Shape) -> Shape:
        require(sorted(self.order) == list(range(1, len(inputs[0]))), f"order {self.order} for {inputs[0]}")
        return (inputs[0][0], *(inputs[0][d] for d in self.order))

    def reference(self, *inputs: Array) -> Array:
        return np.transpose(inputs[0], (0, *self.order))
