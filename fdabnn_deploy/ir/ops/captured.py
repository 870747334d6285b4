"""Operators that occur only between capture and the passes: what users write, before it is given its deployed form."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fdabnn_deploy.ir.array_types import Array, DoubleArray, FloatArray, Shape
from fdabnn_deploy.ir.expression import Expression
from fdabnn_deploy.ir.ops.base import Elementwise, Op, per_channel, require
from fdabnn_deploy.ir.ops.conv import conv2d_reference, conv2d_shape

COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}


@dataclass(frozen=True, eq=False)
class Constant(Op):
    """A value without inputs and without a batch, that broadcasts against activations."""

    value: Array
    arity: ClassVar[int | None] = 0

    def infer(self, *inputs: Shape) -> Shape:
        return self.value.shape

    def reference(self, *inputs: Array) -> Array:
        return self.value


@dataclass(frozen=True, eq=False)
class TorchSign(Elementwise):
    """`torch.sign`: -1, 0 or +1, NaN stays NaN. Deployed as `Sign`; the zeros it met are counted and reported."""

    def reference(self, *inputs: Array) -> Array:
        return np.sign(inputs[0])


@dataclass(frozen=True, eq=False)
class Compare(Elementwise):
    """`y = a <relation> b`, boolean; the relation is one of lt, le, gt, ge, eq, ne."""

    relation: str
    arity: ClassVar[int | None] = 2

    def __post_init__(self) -> None:
        require(self.relation in COMPARISONS, f"unknown relation {self.relation}")

    def reference(self, *inputs: Array) -> Array:
        return np.asarray(COMPARISONS[self.relation](inputs[0], inputs[1]))


@dataclass(frozen=True, eq=False)
class LogicalNot(Elementwise):
    """`y = not x`, boolean."""

    def reference(self, *inputs: Array) -> Array:
        return np.logical_not(inputs[0])


@dataclass(frozen=True, eq=False)
class Logical(Elementwise):
    """`y = a and b`, `a or b`, or `a xor b`, boolean."""

    function: str
    FUNCTIONS: ClassVar[dict[str, Callable[[Any, Any], Any]]] = {
        "and": np.logical_and,
        "or": np.logical_or,
        "xor": np.logical_xor,
    }
    arity: ClassVar[int | None] = 2

    def __post_init__(self) -> None:
        require(self.function in self.FUNCTIONS, f"unknown function {self.function}")

    def reference(self, *inputs: Array) -> Array:
        return np.asarray(self.FUNCTIONS[self.function](inputs[0], inputs[1]))


@dataclass(frozen=True, eq=False)
class Where(Elementwise):
    """`y = a where condition, else b`."""

    arity: ClassVar[int | None] = 3

    def reference(self, *inputs: Array) -> Array:
        return np.where(inputs[0], inputs[1], inputs[2])


@dataclass(frozen=True, eq=False)
class ToFloat(Elementwise):
    """Boolean (or any number) to float32."""

    def reference(self, *inputs: Array) -> Array:
        return inputs[0].astype(np.float32)


@dataclass(frozen=True, eq=False)
class Unary(Elementwise):
    """A float function of each value: neg, abs, sin, tanh, sigmoid, erf, exp, sqrt, square, reciprocal.

    They occur in the noise module and in straight-through estimators, which the passes remove; some have a formula
    (`fdabnn_deploy.transforms.smooth_functions`).
    """

    function: str
    FUNCTIONS: ClassVar[dict[str, Callable[[Any], Any]]] = {
        "neg": np.negative,
        "abs": np.abs,
        "sin": np.sin,
        "tanh": np.tanh,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "erf": np.vectorize(math.erf, otypes=[np.float64]),
        "exp": np.exp,
        "sqrt": np.sqrt,
        "square": np.square,
        "reciprocal": np.reciprocal,
    }

    def __post_init__(self) -> None:
        require(self.function in self.FUNCTIONS, f"unknown function {self.function}")

    def reference(self, *inputs: Array) -> Array:
        return np.asarray(self.FUNCTIONS[self.function](inputs[0]), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Div(Elementwise):
    """`y = a / b`."""

    arity: ClassVar[int | None] = 2

    def reference(self, *inputs: Array) -> Array:
        return np.asarray(inputs[0] / inputs[1])


@dataclass(frozen=True, eq=False)
class BatchNorm(Op):
    """Batch normalisation in eval mode: `y = (x - mean) / sqrt(var + eps) * gamma + beta` per channel.

    All parameters float64 [C] (gamma 1 and beta 0 where the module has none).
    """

    mean: DoubleArray
    var: DoubleArray
    gamma: DoubleArray
    beta: DoubleArray
    eps: float

    def infer(self, *inputs: Shape) -> Shape:
        require(
            len(inputs[0]) >= 2 and inputs[0][1] == self.mean.shape[0],
            f"batch norm [{self.mean.size}] on {inputs[0]}",
        )
        return inputs[0]

    def reference(self, *inputs: Array) -> Array:
        x = inputs[0].astype(np.float64)
        mean, var, gamma, beta = (
            per_channel(v, x.ndim) for v in (self.mean, self.var, self.gamma, self.beta)
        )
        return np.asarray((x - mean) / np.sqrt(var + self.eps) * gamma + beta, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Opaque(Op):
    """A call that has no operator here. It may stand in a branch that the passes remove; where it is left, `refusal` is the error.

    Attributes:
        function: its name.
        shape: of the result.
        compute: runs it, with the framework that it was captured from.
        refusal: what the user is told when it has to be deployed.
    """

    function: str
    shape: Shape
    compute: Callable[..., Array]
    refusal: str
    arity: ClassVar[int | None] = None

    def infer(self, *inputs: Shape) -> Shape:
        return self.shape

    def reference(self, *inputs: Array) -> Array:
        return self.compute(*inputs)


@dataclass(frozen=True, eq=False)
class TrainedConv2d(Op):
    """A convolution as captured: its weight is an expression of parameters, binary or not. Fields as in `Conv2d`."""

    weight: Expression
    bias: FloatArray | None
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    def infer(self, *inputs: Shape) -> Shape:
        shape = self.weight.value.shape
        return conv2d_shape(inputs[0], shape, self.stride, self.padding, self.dilation, self.groups)

    def reference(self, *inputs: Array) -> Array:
        weight = self.weight.value.astype(np.float32)
        y = conv2d_reference(inputs[0], weight, self.stride, self.padding, self.dilation, self.groups)
        return y if self.bias is None else y + per_channel(self.bias, 4)


@dataclass(frozen=True, eq=False)
class TrainedLinear(Op):
    """A dense layer as captured: its weight [O, C] is an expression of parameters, binary or not."""

    weight: Expression
    bias: FloatArray | None

    def infer(self, *inputs: Shape) -> Shape:
        out, features = self.weight.value.shape
        require(inputs[0][-1] == features, f"dense layer {(out, features)} on {inputs[0]}")
        return (*inputs[0][:-1], out)

    def reference(self, *inputs: Array) -> Array:
        weight = self.weight.value.astype(np.float64)
        y = (inputs[0].astype(np.float64) @ weight.T).astype(np.float32)
        return y if self.bias is None else y + self.bias
