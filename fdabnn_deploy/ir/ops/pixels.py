"""Images of bytes, and the layer that takes them before anybody has normalised them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.array_types import Array, DoubleArray, FloatArray, Shape
from fdabnn_deploy.ir.ops.base import Corner, Drawn, Elementwise, Op, TorchKernel, deployed
from fdabnn_deploy.ir.ops.conv import Conv2d
from fdabnn_deploy.ir.ops.drawing import image
from fdabnn_deploy.ir.ranges import Values

CENTRE = 128
"""Subtracted from every byte: the integers -128 .. 127 take one bit less than 0 .. 255."""


@deployed("moving values", takes_pixels=True)
@dataclass(frozen=True, eq=False)
class CentredPixels(Elementwise):
    """`y = p - 128`, from bytes p to float32, exactly."""

    def reference(self, *inputs: Array) -> Array:
        return inputs[0].astype(np.float32) - np.float32(CENTRE)

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        (p,) = inputs
        return Values(p.low - CENTRE, p.high - CENTRE, 0)

    def torch_kernel(self, rank: int) -> TorchKernel:
        return lambda p: p.float() - CENTRE

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("centred pixels", cls(), [(3, 5, 6)]), ("centred grey pixels", cls(), [(1, 4, 4)])]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(), [image(rng)]


@dataclass(frozen=True, eq=False)
class PixelConv2d(Op):
    """A convolution of the normalised image `x = scale q + offset`, which is padded with zeros, given its centred pixels q.

    It stands between the pass that takes pixels and exact numerics, which makes sums of q of it (`fdabnn_deploy.exact.pixel_layer`).

    Attributes:
        layer: the convolution of x.
        scale: per channel, float64 [C].
        offset: likewise.
        pads: (before, behind) rows and columns of zeros in front of the layer, beside its own padding.
    """

    layer: Conv2d
    scale: DoubleArray
    offset: DoubleArray
    pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))

    def infer(self, *inputs: Shape) -> Shape:
        (n, channels, *size) = inputs[0]
        return self.layer.infer((n, channels, *(s + sum(p) for s, p in zip(size, self.pads, strict=True))))

    def reference(self, *inputs: Array) -> Array:
        scale, offset = (values.reshape(-1, 1, 1) for values in (self.scale, self.offset))
        x: FloatArray = (inputs[0] * scale + offset).astype(np.float32)
        return self.layer.reference(np.pad(x, ((0, 0), (0, 0), *self.pads)))
