"""Floating point convolution and dense layer: the stem, the downsampling convs and the classifier of a binary network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fdabnn_deploy.ir.array_types import Array, DoubleArray, FloatArray, Pair, Shape
from fdabnn_deploy.ir.ops.base import Corner, Drawn, Op, TorchKernel, deployed, per_channel, require
from fdabnn_deploy.ir.ops.conv_cases import CONVOLUTIONS, draw_convolution
from fdabnn_deploy.ir.ops.drawing import floats
from fdabnn_deploy.ir.ranges import Values, grid_of

ROUNDING = 2.0**-24
"""The largest relative error of one float32 operation."""


def conv_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """`floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1`, the output size along one axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def conv2d_shape(x: Shape, weight: Shape, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Shape:
    """The output shape of a convolution of x [N, C, H, W] with weight [O, C/groups, kh, kw].

    Raises:
        GraphError: ranks, channels or groups do not fit, or the output would be empty.
    """
    require(len(x) == 4, f"a convolution takes [N, C, H, W], not {x}")
    require(x[1] == weight[1] * groups, f"{x[1]} channels do not fit weight {weight} with {groups} groups")
    require(weight[0] % groups == 0, f"{weight[0]} output channels in {groups} groups")
    height, width = (conv_size(x[2 + a], weight[2 + a], stride[a], padding[a], dilation[a]) for a in (0, 1))
    require(height > 0 and width > 0, f"empty output: kernel {weight[2:]} on {x}")
    return (x[0], weight[0], height, width)


def linear_shape(x: Shape, weight: tuple[int, ...]) -> Shape:
    """The output shape of a dense layer of x [N, C] with weight [O, C].

    Raises:
        GraphError: rank or channels do not fit.
    """
    require(len(x) == 2 and x[1] == weight[1], f"dense layer {weight} on {x}")
    return (x[0], int(weight[0]))


def linear_reference(x: Array, weight: Array) -> FloatArray:
    """`sum_c x[n,c] w[o,c]` in float64, rounded to float32 once."""
    y: FloatArray = (x.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.float32)
    return y


def conv2d_reference(
    x: Array,
    weight: Array,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
    padding_value: float = 0.0,
) -> FloatArray:
    """The sum over taps in float64, rounded to float32 once (without bias)."""
    x64 = np.pad(
        x.astype(np.float64),
        ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2),
        constant_values=padding_value,
    )
    out_channels, group_channels, kernel_h, kernel_w = weight.shape
    height = conv_size(x.shape[2], kernel_h, stride[0], padding[0], dilation[0])
    width = conv_size(x.shape[3], kernel_w, stride[1], padding[1], dilation[1])
    group_out = out_channels // groups
    y = np.zeros((x.shape[0], out_channels, height, width))
    for group in range(groups):
        inputs = x64[:, group * group_channels : (group + 1) * group_channels]
        kernels = weight[group * group_out : (group + 1) * group_out].astype(np.float64)
        for u in range(kernel_h):
            for v in range(kernel_w):
                top, left = u * dilation[0], v * dilation[1]
                window = inputs[
                    :,
                    :,
                    top : top + (height - 1) * stride[0] + 1 : stride[0],
                    left : left + (width - 1) * stride[1] + 1 : stride[1],
                ]
                y[:, group * group_out : (group + 1) * group_out] += np.einsum(
                    "nchw,oc->nohw", window, kernels[:, :, u, v], optimize=True
                )
    return y.astype(np.float32)


def weighted(values: Values, weight: DoubleArray, groups: int) -> tuple[DoubleArray, DoubleArray]:
    """Bounds of `sum x w` per output channel, zero padding included; weight [O, C / groups, ...]."""
    taps = weight.reshape(*weight.shape[:2], -1)
    low = np.minimum(values.low, 0).reshape(groups, -1)
    high = np.maximum(values.high, 0).reshape(groups, -1)
    positive, negative = np.maximum(taps, 0).sum(axis=2), np.minimum(taps, 0).sum(axis=2)
    group = np.repeat(np.arange(groups), len(weight) // groups)
    return (
        (positive * low[group] + negative * high[group]).sum(axis=1),
        (positive * high[group] + negative * low[group]).sum(axis=1),
    )


def _layer_bounds(x: Values, weight: FloatArray, bias: FloatArray | None, groups: int) -> Values:
    low, high = weighted(x, weight.astype(np.float64), groups)
    grid = x.grid + grid_of(weight)
    if bias is not None:
        low, high = low + bias, high + bias
        grid = max(grid, grid_of(bias))
    return Values(low, high, grid)


def _sum_error(layer: Conv2d | Linear, x: FloatArray) -> FloatArray:
    """A sum of K products in any order, with or without FMA, is off by at most `K u sum |x w|` to first order, u = 2^-24.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, 3.1; 3 u more for the bias and the reference's own rounding.
    """
    bias = None if layer.bias is None else np.abs(layer.bias)
    total = replace(layer, weight=np.abs(layer.weight), bias=bias).reference(np.abs(x))
    return np.asarray(total * (np.prod(layer.weight.shape[1:]) + 3) * ROUNDING)


@deployed("float layers")
@dataclass(frozen=True, eq=False)
class Conv2d(Op):
    """Floating point convolution `y = sum x * w + b`, zero padding on both sides, as `torch.nn.functional.conv2d`.

    Shapes: x [N, C, H, W], weight float32 [O, C/groups, kh, kw], bias float32 [O] or None, y [N, O, H', W'].
    """

    weight: FloatArray
    bias: FloatArray | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        require(
            self.weight.dtype == np.float32 and self.weight.ndim == 4,
            "conv weights are float32 [O, C, kh, kw]",
        )
        require(
            self.bias is None or (self.bias.dtype == np.float32 and self.bias.shape == self.weight.shape[:1]),
            "conv bias is float32 [O]",
        )

    def infer(self, *inputs: Shape) -> Shape:
        return conv2d_shape(
            inputs[0], self.weight.shape, self.stride, self.padding, self.dilation, self.groups
        )

    def reference(self, *inputs: Array) -> Array:
        y = conv2d_reference(inputs[0], self.weight, self.stride, self.padding, self.dilation, self.groups)
        return y if self.bias is None else y + per_channel(self.bias, 4)

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return _layer_bounds(inputs[0], self.weight, self.bias, self.groups)

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch
        import torch.nn.functional as F

        weight, bias = torch.tensor(self.weight), None if self.bias is None else torch.tensor(self.bias)
        return lambda x: F.conv2d(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)

    def allowed_error(self, *inputs: FloatArray) -> FloatArray | float:
        return _sum_error(self, inputs[0])

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            (name, cls(floats(rng, kernel), floats(rng, kernel[:1]), **options), [shape])
            for name, kernel, shape, options in CONVOLUTIONS
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        kernel, shape, options = draw_convolution(rng)
        return cls(floats(rng, kernel), floats(rng, kernel[:1]), **options), [shape]


@deployed("float layers")
@dataclass(frozen=True, eq=False)
class Linear(Op):
    """Floating point dense layer `y[n,o] = sum_c x[n,c] w[o,c] + b[o]`.

    Shapes: x [N, C], weight float32 [O, C], bias float32 [O] or None, y [N, O].
    """

    weight: FloatArray
    bias: FloatArray | None = None

    def __post_init__(self) -> None:
        require(self.weight.dtype == np.float32 and self.weight.ndim == 2, "dense weights are float32 [O, C]")
        require(
            self.bias is None or (self.bias.dtype == np.float32 and self.bias.shape == self.weight.shape[:1]),
            "dense bias is float32 [O]",
        )

    def infer(self, *inputs: Shape) -> Shape:
        return linear_shape(inputs[0], self.weight.shape)

    def reference(self, *inputs: Array) -> Array:
        y = linear_reference(inputs[0], self.weight)
        return y if self.bias is None else y + self.bias

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return _layer_bounds(inputs[0], self.weight, self.bias, 1)

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch
        import torch.nn.functional as F

        weight, bias = torch.tensor(self.weight), None if self.bias is None else torch.tensor(self.bias)
        return lambda x: F.linear(x, weight, bias)

    def allowed_error(self, *inputs: FloatArray) -> FloatArray | float:
        return _sum_error(self, inputs[0])

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("dense", cls(floats(rng, (5, 64)), floats(rng, (5,))), [(64,)]),
            ("dense without bias", cls(floats(rng, (5, 64))), [(64,)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        rows, columns = int(rng.integers(1, 12)), int(rng.integers(1, 70))
        weight = floats(rng, (rows, columns))
        return cls(weight, floats(rng, (rows,)) if rng.random() < 0.5 else None), [(columns,)]
