"""Operators that act on each value alone: each rounds once, in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdabnn_deploy.ir.ops.base import (
    Array,
    DoubleArray,
    FloatArray,
    Op,
    Shape,
    broadcast,
    per_channel,
    require,
)


def _channel_vector(values: Array, shape: Shape, what: str) -> None:
    require(
        values.ndim == 0 or (values.ndim == 1 and len(shape) >= 2 and values.shape[0] == shape[1]),
        f"{what} of shape {values.shape} on channels of {shape}",
    )


@dataclass(frozen=True, eq=False)
class Affine(Op):
    """`y = fl(fl(x * scale) + offset)` per channel: batch norm, bias and weight scale folded into one.

    `scale` and `offset` are kept in float64, so that folding several of them rounds only once, and are used as float32. A scale of
    exactly 1 and an offset of exactly 0 compute nothing, and converters leave that half out.

    Shapes: x [N, C, ...], scale and offset float64 [C].
    """

    scale: DoubleArray
    offset: DoubleArray

    def __post_init__(self) -> None:
        require(
            self.scale.dtype == np.float64 and self.offset.dtype == np.float64,
            "affine parameters are float64",
        )
        require(self.scale.ndim == 1 and self.scale.shape == self.offset.shape, "affine parameters are [C]")

    @property
    def scale32(self) -> FloatArray:
        """The multiplier as used."""
        return self.scale.astype(np.float32)

    @property
    def offset32(self) -> FloatArray:
        """The addend as used."""
        return self.offset.astype(np.float32)

    @property
    def has_scale(self) -> bool:
        """Whether the multiplication does anything."""
        return bool(np.any(self.scale32 != 1))

    @property
    def has_offset(self) -> bool:
        """Whether the addition does anything."""
        return bool(np.any(self.offset32 != 0))

    def infer(self, *inputs: Shape) -> Shape:
        _channel_vector(self.scale, inputs[0], "affine")
        return inputs[0]

    def reference(self, *inputs: Array) -> Array:
        y = inputs[0]
        if self.has_scale:
            y = y * per_channel(self.scale32, y.ndim)
        if self.has_offset:
            y = y + per_channel(self.offset32, y.ndim)
        return y


@dataclass(frozen=True, eq=False)
class PRelu(Op):
    """`y = x where x > 0, else slope * x`; slope float32 [] (shared) or [C]."""

    slope: FloatArray

    def __post_init__(self) -> None:
        require(self.slope.dtype == np.float32, "PReLU slopes are float32")

    def infer(self, *inputs: Shape) -> Shape:
        _channel_vector(self.slope, inputs[0], "PReLU")
        return inputs[0]

    def reference(self, *inputs: Array) -> Array:
        x = inputs[0]
        return np.where(x > 0, x, x * per_channel(self.slope, x.ndim))


@dataclass(frozen=True, eq=False)
class Relu(Op):
    """`y = max(x, 0)`."""

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def reference(self, *inputs: Array) -> Array:
        return np.maximum(inputs[0], np.float32(0))


@dataclass(frozen=True, eq=False)
class Clamp(Op):
    """`y = min(max(x, low), high)`: Hardtanh, ReLU6, clamp. The limits are float32 values."""

    low: float
    high: float

    def __post_init__(self) -> None:
        require(self.low <= self.high, f"clamp limits {self.low} > {self.high}")

    def infer(self, *inputs: Shape) -> Shape:
        return inputs[0]

    def reference(self, *inputs: Array) -> Array:
        return np.minimum(np.maximum(inputs[0], np.float32(self.low)), np.float32(self.high))


class _Binary(Op):
    arity: ClassVar[int | None] = 2

    def infer(self, *inputs: Shape) -> Shape:
        return broadcast(*inputs)


@dataclass(frozen=True, eq=False)
class Add(_Binary):
    """`y = a + b`."""

    def reference(self, *inputs: Array) -> Array:
        return inputs[0] + inputs[1]


@dataclass(frozen=True, eq=False)
class Sub(_Binary):
    """`y = a - b`."""

    def reference(self, *inputs: Array) -> Array:
        return inputs[0] - inputs[1]


@dataclass(frozen=True, eq=False)
class Mul(_Binary):
    """`y = a * b`."""

    def reference(self, *inputs: Array) -> Array:
        return inputs[0] * inputs[1]


@dataclass(frozen=True, eq=False)
class Maximum(_Binary):
    """`y = max(a, b)`."""

    def reference(self, *inputs: Array) -> Array:
        return np.maximum(inputs[0], inputs[1])


@dataclass(frozen=True, eq=False)
class Softmax(Op):
    """`y_c = exp(x_c - max x) / sum_k exp(x_k - max x)` over dimension 1; with `log`, its logarithm."""

    log: bool = False

    def infer(self, *inputs: Shape) -> Shape:
        require(len(inputs[0]) == 2, f"softmax takes [N, C], not {inputs[0]}")
        return inputs[0]

    def reference(self, *inputs: Array) -> Array:
        x = inputs[0].astype(np.float64)
        shifted = x - x.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        y = shifted - log_sum
        return np.asarray(y if self.log else np.exp(y), dtype=np.float32)
