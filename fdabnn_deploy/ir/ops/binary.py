"""The 1-bit operators: the sign, and the convolution and dense layer between signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.ops.base import Array, Op, Shape, require
from fdabnn_deploy.ir.ops.conv import conv2d_reference, conv2d_shape


@dataclass(frozen=True, eq=False)
class Sign(Op):
    """`y = -1 where x < 0, else +1`. The one sign of the whole tool: +0, -0 and NaN give +1."""

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def reference(self, *inputs: Array) -> Array:
        return np.where(inputs[0] < 0, np.float32(-1), np.float32(1))


@dataclass(frozen=True, eq=False)
class BinaryConv2d(Op):
    """Convolution of signs with binary weights: `y[n,o,i,j] = sum x[n, c, i*s + u*d - p, j*s + v*d - p] * w[o,c,u,v]`.

    The input is the output of a `Sign`. Taps outside the image count 0 (`padding_value == 0`, PyTorch's padding after the sign) or
    as +1 (`padding_value == 1`). The result is an integer of magnitude at most `K = kh*kw*C/groups`, hence exact in float32.

    Shapes: x [N, C, H, W], weight int8 [O, C/groups, kh, kw] of +-1, y [N, O, H', W'].
    """

    weight: NDArray[np.int8]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
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
        require(
            len(inputs[0]) == 2 and inputs[0][1] == self.weight.shape[1],
            f"dense layer {self.weight.shape} on {inputs[0]}",
        )
        return (inputs[0][0], int(self.weight.shape[0]))

    def reference(self, *inputs: Array) -> Array:
        return (inputs[0].astype(np.float64) @ self.weight.T.astype(np.float64)).astype(np.float32)
