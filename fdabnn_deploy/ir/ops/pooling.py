"""Spatial pooling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fdabnn_deploy.ir.array_types import Array, FloatArray, Pair, Shape
from fdabnn_deploy.ir.ops.base import Corner, Drawn, Op, TorchKernel, deployed, require
from fdabnn_deploy.ir.ops.conv import ROUNDING, conv_size
from fdabnn_deploy.ir.ops.drawing import image, pair
from fdabnn_deploy.ir.ranges import Values


def pool_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """The output size along one axis, as PyTorch defines it.

    `floor((size + 2 padding - kernel) / stride) + 1`; with `ceil_mode` the division rounds up, but the last window has to begin inside
    the image or its left padding.
    """
    if not ceil_mode:
        return conv_size(size, kernel, stride, padding, 1)
    count = -(-(size + 2 * padding - kernel) // stride) + 1
    if (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _pool_shape(x: Shape, kernel: Pair, stride: Pair, padding: Pair, ceil_mode: bool) -> Shape:
    require(len(x) == 4, f"pooling takes [N, C, H, W], not {x}")
    require(
        all(2 * p <= k for p, k in zip(padding, kernel, strict=True)),
        "pool padding is at most half the kernel",
    )
    height, width = (pool_size(x[2 + a], kernel[a], stride[a], padding[a], ceil_mode) for a in (0, 1))
    require(height > 0 and width > 0, f"empty output: pool {kernel} on {x}")
    return (x[0], x[1], height, width)


def _windows(x: Array, out: Shape, kernel: Pair, stride: Pair, padding: Pair, fill: float) -> Array:
    """The windows [N, C, H', W', kh, kw], with `fill` for taps outside the image."""
    pads = [(0, 0), (0, 0)]
    for axis in (0, 1):
        needed = (out[2 + axis] - 1) * stride[axis] + kernel[axis]
        before = padding[axis]
        pads.append((before, max(needed - x.shape[2 + axis] - before, 0)))
    padded = np.pad(x, pads, constant_values=fill)
    windows: Array = sliding_window_view(padded, kernel, axis=(2, 3))  # type: ignore[call-overload,unused-ignore]
    return windows[:, :, :: stride[0], :: stride[1]][:, :, : out[2], : out[3]]


def _mean_bounds(x: Values, area: int) -> Values:
    return Values(np.minimum(x.low, 0), np.maximum(x.high, 0), x.grid + (area - 1).bit_length())


def _sum_error(op: Op, x: FloatArray, terms: int) -> FloatArray:
    """The largest rounding error of a sum of `terms` values in any order and a division or reciprocal; see `Conv2d.allowed_error`."""
    return np.asarray(op.reference(np.abs(x)) * (terms + 3) * ROUNDING)


def _draw_windows(rng: np.random.Generator) -> tuple[Pair, Pair, Pair]:
    """Draws kernel, stride and padding of a window."""
    kernel = pair(rng, 1, 4)
    stride = pair(rng, 1, 4)
    return kernel, stride, (int(rng.integers(kernel[0] // 2 + 1)), int(rng.integers(kernel[1] // 2 + 1)))


@deployed("pooling")
@dataclass(frozen=True, eq=False)
class MaxPool2d(Op):
    """Largest value of each window; padding counts as minus infinity. It commutes with `Sign`, because `Sign` is monotone."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    ceil_mode: bool = False

    def infer(self, *inputs: Shape) -> Shape:
        return _pool_shape(inputs[0], self.kernel, self.stride, self.padding, self.ceil_mode)

    def reference(self, *inputs: Array) -> Array:
        x = inputs[0]
        windows = _windows(x, self.infer(x.shape), self.kernel, self.stride, self.padding, -np.inf)
        return np.asarray(windows.max(axis=(4, 5)))

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return inputs[0]

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch.nn.functional as F

        return lambda x: F.max_pool2d(x, self.kernel, self.stride, self.padding, ceil_mode=self.ceil_mode)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("max pool", cls((2, 2), (2, 2)), [(3, 6, 8)]),
            ("max pool leaves a row", cls((2, 2), (2, 2)), [(3, 7, 9)]),
            ("max pool ceil", cls((2, 2), (2, 2), ceil_mode=True), [(3, 7, 9)]),
            ("max pool padded", cls((3, 3), (2, 2), (1, 1)), [(3, 8, 9)]),
            ("max pool padded ceil", cls((3, 3), (2, 2), (1, 1), ceil_mode=True), [(3, 8, 9)]),
            ("max pool ceil in the padding", cls((2, 2), (3, 3), (1, 1), ceil_mode=True), [(3, 5, 8)]),
            ("max pool 3x2", cls((3, 2), (1, 2), (1, 0)), [(2, 4, 6)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(*_draw_windows(rng), ceil_mode=bool(rng.random() < 0.5)), [image(rng, 4)]


@deployed("pooling")
@dataclass(frozen=True, eq=False)
class AvgPool2d(Op):
    """Mean of each window: `sum / (kh kw)`; with `count_include_pad` false, of the taps inside the image only.

    PyTorch's `ceil_mode` is not covered for averages: capture refuses it where it would change the output size.
    """

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    count_include_pad: bool = True

    def infer(self, *inputs: Shape) -> Shape:
        return _pool_shape(inputs[0], self.kernel, self.stride, self.padding, ceil_mode=False)

    def reference(self, *inputs: Array) -> Array:
        x = inputs[0].astype(np.float64)
        out = self.infer(inputs[0].shape)
        sums = _windows(x, out, self.kernel, self.stride, self.padding, 0.0).sum(axis=(4, 5))
        if self.count_include_pad:
            return np.asarray(sums / (self.kernel[0] * self.kernel[1]), dtype=np.float32)
        ones = np.ones((1, 1, *x.shape[2:]))
        inside = _windows(ones, (1, 1, *out[2:]), self.kernel, self.stride, self.padding, 0.0).sum(
            axis=(4, 5)
        )
        return np.asarray(sums / inside, dtype=np.float32)

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return _mean_bounds(inputs[0], math.prod(self.kernel))

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch.nn.functional as F

        counted = self.count_include_pad
        return lambda x: F.avg_pool2d(x, self.kernel, self.stride, self.padding, count_include_pad=counted)

    def allowed_error(self, *inputs: FloatArray) -> FloatArray | float:
        return _sum_error(self, inputs[0], math.prod(self.kernel))

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("average pool", cls((2, 2), (2, 2)), [(3, 6, 8)]),
            ("average pool leaves a row", cls((2, 2), (2, 2)), [(3, 7, 9)]),
            ("average pool padded", cls((3, 3), (2, 2), (1, 1)), [(3, 8, 9)]),
            ("average pool inside", cls((3, 3), (2, 2), (1, 1), count_include_pad=False), [(3, 8, 9)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(*_draw_windows(rng), count_include_pad=bool(rng.random() < 0.5)), [image(rng, 4)]


@dataclass(frozen=True, eq=False)
class _GlobalPool(Op):
    """An operator over height and width: x [N, C, H, W] -> y [N, C] (or [N, C, 1, 1] with `keepdims`)."""

    keepdims: bool = False
    title: ClassVar[str]

    def infer(self, *inputs: Shape) -> Shape:
        require(len(inputs[0]) == 4, f"global pooling takes [N, C, H, W], not {inputs[0]}")
        return (*inputs[0][:2], 1, 1) if self.keepdims else inputs[0][:2]

    def allowed_error(self, *inputs: FloatArray) -> FloatArray | float:
        return _sum_error(self, inputs[0], math.prod(inputs[0].shape[2:]))

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            (cls.title, cls(), [(3, 7, 7)]),
            (f"{cls.title} with dimensions", cls(keepdims=True), [(3, 8, 8)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(bool(rng.random() < 0.5)), [image(rng)]


@deployed("pooling")
@dataclass(frozen=True, eq=False)
class GlobalSum(_GlobalPool):
    """Sum over height and width: x [N, C, H, W] -> y [N, C] (or [N, C, 1, 1] with `keepdims`).

    Exact numerics write a mean as this sum, exact for values on a grid, and one rounded product with `1 / area`, unless the area is a power
    of two: some runtimes divide and others multiply by the reciprocal, which rounds differently.
    """

    title = "global sum"

    def reference(self, *inputs: Array) -> Array:
        total = inputs[0].astype(np.float64).sum(axis=(2, 3), keepdims=self.keepdims)
        return np.asarray(total, dtype=np.float32)

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        area = math.prod(shapes[0][2:])
        return Values(inputs[0].low * area, inputs[0].high * area, inputs[0].grid)

    def torch_kernel(self, rank: int) -> TorchKernel:
        return lambda x: x.sum(dim=(2, 3), keepdim=self.keepdims)


@deployed("pooling")
@dataclass(frozen=True, eq=False)
class GlobalAvgPool(_GlobalPool):
    """Mean over height and width: x [N, C, H, W] -> y [N, C] (or [N, C, 1, 1] with `keepdims`)."""

    title = "global pool"

    def reference(self, *inputs: Array) -> Array:
        mean = inputs[0].astype(np.float64).mean(axis=(2, 3), keepdims=self.keepdims)
        return np.asarray(mean, dtype=np.float32)

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return _mean_bounds(inputs[0], math.prod(shapes[0][2:]))

    def torch_kernel(self, rank: int) -> TorchKernel:
        return lambda x: x.mean(dim=(2, 3), keepdim=self.keepdims)
