"""Operators that act on each value alone: each rounds once, in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fdabnn_deploy.ir.array_types import Array, DoubleArray, FloatArray, Shape
from fdabnn_deploy.ir.ops.base import (
    Corner,
    Drawn,
    Elementwise,
    Op,
    TorchKernel,
    deployed,
    per_channel,
    require,
)
from fdabnn_deploy.ir.ops.conv import ROUNDING
from fdabnn_deploy.ir.ops.drawing import floats, image, limits
from fdabnn_deploy.ir.ranges import Values, clipped, grid_of, widen

_IMAGE = (3, 5, 6)
_SMALLEST_NORMAL = 2.0**-126


def _channel_vector(values: Array, shape: Shape, what: str) -> None:
    require(
        values.ndim == 0 or (values.ndim == 1 and len(shape) >= 2 and values.shape[0] == shape[1]),
        f"{what} of shape {values.shape} on channels of {shape}",
    )


@deployed("pointwise")
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

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        (x,) = inputs
        scale, offset = self.scale32, self.offset32
        low, high, grid = x.low, x.high, x.grid
        if self.has_scale:
            a, b = low * scale, high * scale
            grid += grid_of(scale)
            scaled = widen(np.minimum(a, b), np.maximum(a, b), grid)
            low, high = scaled.low, scaled.high
        if self.has_offset:
            low, high = low + offset, high + offset
            grid = max(grid, grid_of(offset))
        return widen(low, high, grid)

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        scale, offset = (torch.tensor(per_channel(v, rank)) for v in (self.scale32, self.offset32))

        def affine(x: torch.Tensor) -> torch.Tensor:
            if self.has_scale:
                x = x * scale
            return x + offset if self.has_offset else x

        return affine

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        ones, zeros, random = np.ones(3), np.zeros(3), rng.normal(size=3)
        special = np.array([0.0, -0.0, 2.0]), np.array([0.0, 1.0, -1.0])
        return [
            ("affine", cls(random, rng.normal(size=3)), [_IMAGE]),
            ("affine of a vector", cls(random, rng.normal(size=3)), [(3,)]),
            ("affine scale only", cls(random, zeros), [_IMAGE]),
            ("affine offset only", cls(ones, random), [_IMAGE]),
            ("affine identity", cls(ones, zeros), [_IMAGE]),
            ("affine with zeros", cls(*special), [_IMAGE]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        shape = image(rng)
        return cls(rng.normal(size=shape[0]), rng.normal(size=shape[0])), [shape]


@deployed("pointwise")
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

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        (x,) = inputs
        slope = self.slope.astype(np.float64)
        a, b = np.minimum(x.low, 0) * slope, np.minimum(x.high, 0) * slope
        candidates = np.stack([a, b, np.maximum(x.low, 0), np.maximum(x.high, 0)])
        return widen(candidates.min(axis=0), candidates.max(axis=0), x.grid + grid_of(self.slope))

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        slope = torch.tensor(per_channel(self.slope, rank))
        return lambda x: torch.where(x > 0, x, x * slope)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        slopes = np.array([-0.5, 0.0, 2.0], dtype=np.float32)
        return [
            ("prelu shared", cls(np.array(0.25, dtype=np.float32)), [_IMAGE]),
            ("prelu", cls(slopes), [_IMAGE]),
            ("prelu of a vector", cls(slopes), [(3,)]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        shape = image(rng)
        return cls(floats(rng, shape[:1] if rng.random() < 0.5 else ())), [shape]


@deployed("pointwise")
@dataclass(frozen=True, eq=False)
class Relu(Elementwise):
    """`y = max(x, 0)`."""

    def reference(self, *inputs: Array) -> Array:
        return np.maximum(inputs[0], np.float32(0))

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        (x,) = inputs
        return Values(np.maximum(x.low, 0), np.maximum(x.high, 0), x.grid)

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch.nn.functional as F

        return F.relu

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("relu", cls(), [_IMAGE])]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(), [image(rng)]


@deployed("pointwise")
@dataclass(frozen=True, eq=False)
class Clamp(Elementwise):
    """`y = min(max(x, low), high)`: Hardtanh, ReLU6, clamp. The limits are float32 values."""

    low: float
    high: float

    def __post_init__(self) -> None:
        require(self.low <= self.high, f"clamp limits {self.low} > {self.high}")

    def reference(self, *inputs: Array) -> Array:
        return np.minimum(np.maximum(inputs[0], np.float32(self.low)), np.float32(self.high))

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        return clipped(inputs[0], self.low, self.high)

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        low, high = (torch.tensor(limit, dtype=torch.float32) for limit in (self.low, self.high))
        return lambda x: torch.clamp(x, low, high)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [
            ("hardtanh", cls(-1.0, 1.0), [_IMAGE]),
            ("relu6", cls(0.0, 6.0), [_IMAGE]),
            ("clamp to one value", cls(0.1, 0.1), [_IMAGE]),
        ]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(*limits(rng)), [image(rng)]


class _Binary(Elementwise):
    arity: ClassVar[int | None] = 2

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        a, b = (_spread(x, shape) for x in inputs)
        return self._joint(a, b)

    def _joint(self, a: Values, b: Values) -> Values:
        raise NotImplementedError

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch

        kernel: TorchKernel = getattr(torch, self.kind.lower())
        return kernel

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        shape = image(rng)
        return cls(), [shape, tuple(1 if rng.random() < 0.3 else d for d in shape)]


def _spread(x: Values, shape: Shape) -> Values:
    """Bounds of an operand that broadcasts to a shape."""
    if len(x.low) == shape[1]:
        return x
    return Values(np.broadcast_to(x.low, shape[1]), np.broadcast_to(x.high, shape[1]), x.grid)


@deployed("pointwise")
@dataclass(frozen=True, eq=False)
class Add(_Binary):
    """`y = a + b`."""

    def reference(self, *inputs: Array) -> Array:
        return inputs[0] + inputs[1]

    def _joint(self, a: Values, b: Values) -> Values:
        return widen(a.low + b.low, a.high + b.high, max(a.grid, b.grid))

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("add", cls(), [_IMAGE, _IMAGE]), ("add per channel", cls(), [_IMAGE, (3, 1, 1)])]


@deployed("pointwise")
@dataclass(frozen=True, eq=False)
class Sub(_Binary):
    """`y = a - b`."""

    def reference(self, *inputs: Array) -> Array:
        return inputs[0] - inputs[1]

    def _joint(self, a: Values, b: Values) -> Values:
        return widen(a.low - b.high, a.high - b.low, max(a.grid, b.grid))

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("sub", cls(), [_IMAGE, _IMAGE])]


@deployed("pointwise")
@dataclass(frozen=True, eq=False)
class Mul(_Binary):
    """`y = a * b`."""

    def reference(self, *inputs: Array) -> Array:
        return inputs[0] * inputs[1]

    def _joint(self, a: Values, b: Values) -> Values:
        products = np.stack([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high])
        return widen(products.min(axis=0), products.max(axis=0), a.grid + b.grid)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("mul", cls(), [_IMAGE, _IMAGE]), ("mul both broadcast", cls(), [(3, 1, 6), (1, 5, 1)])]


@deployed("pointwise")
@dataclass(frozen=True, eq=False)
class Maximum(_Binary):
    """`y = max(a, b)`."""

    def reference(self, *inputs: Array) -> Array:
        return np.maximum(inputs[0], inputs[1])

    def _joint(self, a: Values, b: Values) -> Values:
        return Values(np.maximum(a.low, b.low), np.maximum(a.high, b.high), max(a.grid, b.grid))

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("maximum", cls(), [_IMAGE, _IMAGE])]


@deployed("pointwise")
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

    def torch_kernel(self, rank: int) -> TorchKernel:
        import torch.nn.functional as F

        function = F.log_softmax if self.log else F.softmax
        return lambda x: function(x, dim=1)

    def allowed_error(self, *inputs: FloatArray) -> FloatArray | float:
        # The error of `x - max` is a relative one of the exponential, which itself is taken to be good to 4 units.
        distance = inputs[0].max(axis=1, keepdims=True) - inputs[0]
        units = distance + 2 * inputs[0].shape[1] + 8
        result = self.reference(*inputs)
        if self.log:
            return np.asarray((units + np.abs(result)) * 2 * ROUNDING)
        return np.asarray(result * units * 2 * ROUNDING + _SMALLEST_NORMAL)

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        return [("softmax", cls(), [(10,)]), ("log softmax", cls(log=True), [(10,)])]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        return cls(bool(rng.random() < 0.5)), [(int(rng.integers(1, 50)),)]
