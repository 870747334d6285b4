"""The 1-bit operators: the sign, and the convolution and dense layer between signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.array_types import Array, Pair, Shape
from fdabnn_deploy.ir.ops.base import Corner, Drawn, Elementwise, Op, TorchKernel, deployed, require
from fdabnn_deploy.ir.ops.conv import conv2d_reference, conv2d_shape, linear_reference, linear_shape
from fdabnn_deploy.ir.ops.conv_cases import CONVOLUTIONS, draw_convolution
from fdabnn_deploy.ir.ops.drawing import image, signs
from fdabnn_deploy.ir.ranges import Values, uniform


@deployed("signs")
@dataclass(frozen=True, eq=False)
class Sign(Elementwise):
    """`y = -1 where x < 0, else +1`. The one sign of the whole tool: +0, -0 and NaN give +1."""

    def reference(self, *inputs: Array) -> Array:
        return np.where(inputs[0] < 0, np.float32(-1), np.float32(1))

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return uniform(-1, 1, 0, shape[1])

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        minus, plus = torch.tensor(-1.0), torch.tensor(1.0)
        return lambda x: torch.where(x < 0, minus, plus)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("sign", cls(), [(4, 5, 6)]), ("sign of a vector", cls(), [(40,)])]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(), [image(rng)]


@deployed("signs", takes_signs=True)
@dataclass(frozen=True, eq=False)
class BinaryConv2d(Op):
    """Convolution of signs with binary weights: `y[n,o,i,j] = sum x[n, c, i*s + u*d - p, j*s + v*d - p] * w[o,c,u,v]`.

    The input is the output of a `Sign`. Taps outside the image count 0 (`padding_value == 0`, PyTorch's padding after the sign) or
    as +1 (`padding_value == 1`). The result is an integer of magnitude at most `K = kh*kw*C/groups`, hence exact in float32.

    Shapes: x [N, C, H, W], weight int8 [O, C/groups, kh, kw] of +-1, y [N, O, H', W'].
    """

    weight: NDArray[np.int8]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    padding_value: int = 0

    def __post_init__(self) -> None:
        require(
            self.weight.dtype == np.int8 and self.weight.ndim == 4, "binary weights are int8 [O, C, kh, kw]"
        )
        require(bool(np.all(np.abs(self.weight) == 1)), "binary weights are +1 and -1 only")
        require(self.padding_value in (0, 1), "padding_value is 0 or 1")

    @property
    def taps(self) -> int:
        """K, the number of products per output: the bound of the accumulator's magnitude."""
        return int(np.prod(self.weight.shape[1:]))

    def infer(self, *inputs: Shape) -> Shape:
        return conv2d_shape(
            inputs[0], self.weight.shape, self.stride, self.padding, self.dilation, self.groups
        )

    def reference(self, *inputs: Array) -> Array:
        return conv2d_reference(
            inputs[0],
            self.weight,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            float(self.padding_value),
        )

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return uniform(-self.taps, self.taps, 0, shape[1])

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch
        import torch.nn.functional as F

        weight, (vertical, horizontal) = torch.tensor(self.weight, dtype=torch.float32), self.padding
        if self.padding_value == 0:
            return lambda x: F.conv2d(x, weight, None, self.stride, self.padding, self.dilation, self.groups)

        def padded_with_one(x: torch.Tensor) -> torch.Tensor:
            x = F.pad(x, (horizontal, horizontal, vertical, vertical), value=1.0)
            return F.conv2d(x, weight, None, self.stride, 0, self.dilation, self.groups)

        return padded_with_one

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            (f"{name} {what}", cls(signs(rng, kernel), **options, padding_value=value), [shape])
            for name, kernel, shape, options in CONVOLUTIONS
            for value, what in enumerate(("binary", "padded with +1"))
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        kernel, shape, options = draw_convolution(rng)
        return cls(signs(rng, kernel), **options, padding_value=int(rng.integers(2))), [shape]


@deployed("signs", takes_signs=True)
@dataclass(frozen=True, eq=False)
class BinaryLinear(Op):
    """Dense layer of signs with binary weights: `y[n,o] = sum_c x[n,c] * w[o,c]`, an integer of magnitude at most C.

    Shapes: x [N, C] (the output of a `Sign`), weight int8 [O, C] of +-1, y [N, O].
    """

    weight: NDArray[np.int8]
    arity: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        require(self.weight.dtype == np.int8 and self.weight.ndim == 2, "binary weights are int8 [O, C]")
        require(bool(np.all(np.abs(self.weight) == 1)), "binary weights are +1 and -1 only")

    @property
    def taps(self) -> int:
        """C, the number of products per output: the bound of the accumulator's magnitude."""
        return int(self.weight.shape[1])

    def infer(self, *inputs: Shape) -> Shape:
        return linear_shape(inputs[0], self.weight.shape)

    def reference(self, *inputs: Array) -> Array:
        return linear_reference(inputs[0], self.weight)

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return uniform(-self.taps, self.taps, 0, shape[1])

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch
        import torch.nn.functional as F

        weight = torch.tensor(self.weight, dtype=torch.float32)
        return lambda x: F.linear(x, weight)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("binary dense", cls(signs(rng, (5, 33))), [(33,)]),
            ("binary dense to one", cls(signs(rng, (1, 1))), [(1,)]),
            ("binary dense of whole words", cls(signs(rng, (64, 96))), [(96,)]),
            ("binary dense of many", cls(signs(rng, (130, 1000))), [(1000,)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        most = (12, 70) if rng.random() < 0.7 else (150, 600)
        rows, columns = (int(rng.integers(1, high)) for high in most)
        return cls(signs(rng, (rows, columns))), [(columns,)]
