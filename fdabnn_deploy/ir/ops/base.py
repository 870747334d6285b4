"""The base of all operators of the graph: immutable values with a shape rule and a NumPy meaning.

Conventions, valid for all operators:

- Tensors are NCHW (or NC behind a flatten). Dimension 0 is the batch and is written `BATCH` in shapes; no operator mixes images.
- `reference` is the specification: slow, readable, float32 in and out. Where an operator sums many products, the sum is carried in
  float64 and rounded once, so that it is the value every runtime approximates (and equals, where the sum is exact).
- Parameters live inside the operator as NumPy arrays; operators never change after construction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from fdabnn_deploy.ir.array_types import Array, DoubleArray, FloatArray, Shape
from fdabnn_deploy.ir.ranges import Values

BATCH = -1
TorchKernel = Callable[..., Any]
"""Takes the operands as PyTorch tensors and returns the result: untyped, since nothing here imports PyTorch before it is needed."""


class GraphError(Exception):
    """A graph or operator breaks its own rules: a bug of a pass or of capture, never of the user."""


@dataclass(frozen=True, eq=False)
class Op(ABC):
    """Base of all operators. Subclasses are frozen dataclasses whose fields are the operator's parameters."""

    arity: ClassVar[int | None] = 1
    """Number of tensor inputs, or None when any number above zero is allowed."""

    @abstractmethod
    def infer(self, *inputs: Shape) -> Shape:
        """Returns the output shape.

        Raises:
            GraphError: the operator cannot take inputs of these shapes.
        """

    @abstractmethod
    def reference(self, *inputs: Array) -> Array:
        """Computes the operator on NumPy arrays; the specification that every kernel and runtime is compared with."""

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        """Bounds of the result, by interval arithmetic that is widened where float32 rounds.

        Grids: a product of two grids has the sum of their exponents, a sum or a choice the larger one; rounding to float32 takes a
        value to a coarser grid only, which is a part of the finer one.

        Args:
            inputs: bounds of the operands.
            shapes: of the operands.
            shape: of the result.

        Raises:
            GraphError: the operator has no place in an exact graph.
        """
        raise GraphError(f"{self.kind} has no bounds")

    def torch_kernel(self, rank: int) -> TorchKernel:
        """Prepares what computes the operator with PyTorch, for a result of this rank.

        Raises:
            GraphError: the operator is not a deployed one.
        """
        raise GraphError(f"{self.kind} has no PyTorch kernel: it is not a deployed operator")

    def allowed_error(self, *inputs: FloatArray) -> FloatArray | float:
        """The bound on `|float32 result - reference|`, per value of the result; 0 where an operator has to be exact."""
        return 0.0

    @classmethod
    def corners(cls, rng: np.random.Generator) -> list[Corner]:
        """Chosen cases for conformance tests.

        Raises:
            GraphError: there are none.
        """
        raise GraphError(f"{cls.__name__} has no chosen cases")

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Drawn:
        """A random case for conformance tests.

        Raises:
            GraphError: there are none.
        """
        raise GraphError(f"{cls.__name__} has no random cases")

    @property
    def kind(self) -> str:
        """The operator's name as reports print it."""
        return type(self).__name__

    def attributes(self) -> dict[str, Any]:
        """The parameters by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def describe(self) -> str:
        """One line: the kind and its small parameters; arrays are shown by shape."""
        parts = []
        for name, value in self.attributes().items():
            if isinstance(value, np.ndarray):
                parts.append(f"{name}={'x'.join(map(str, value.shape)) or value.item()}")
            elif value is not None:
                parts.append(f"{name}={value}")
        return f"{self.kind}({', '.join(parts)})"


Drawn = tuple[Op, list[tuple[int, ...]]]
"""An operator with the shapes of its operands, without the batch."""

Corner = tuple[str, Op, list[tuple[int, ...]]]
"""The same with a name."""


class Elementwise(Op):
    """An operator each of whose results is computed from one value of every operand; operands broadcast as NumPy's do."""

    def infer(self, *inputs: Shape) -> Shape:
        return broadcast(*inputs)


class Mover(Op):
    """An operator each of whose results is a value of its one operand: it commutes with every function of single values."""

    @abstractmethod
    def channels(self, values: DoubleArray, before: Shape, after: Shape, worst: np.ufunc) -> DoubleArray:
        """Carries a value per channel of the operand over to the channels of the result.

        Args:
            values: one per channel of the operand.
            before: shape of the operand.
            after: shape of the result.
            worst: `np.minimum` or `np.maximum`: which value counts where a channel of the result takes from several.
        """

    @classmethod
    def fitting(cls, rng: np.random.Generator, shape: tuple[int, ...]) -> Op | None:
        """A random instance for operands of this shape, without the batch; None where there is none."""
        return None

    def bounds(self, inputs: list[Values], shapes: list[Shape], shape: Shape) -> Values:
        (x,) = inputs
        return Values(
            self.channels(x.low, shapes[0], shape, np.minimum),
            self.channels(x.high, shapes[0], shape, np.maximum),
            x.grid,
        )


@dataclass(frozen=True)
class Registered:
    """A deployed operator.

    Attributes:
        kind: its class.
        family: the row of the documentation's table that it stands in.
        takes_signs: whether its operand is the output of a `Sign`.
        takes_pixels: whether its operand is an `Input` of bytes.
    """

    kind: type[Op]
    family: str
    takes_signs: bool = False
    takes_pixels: bool = False


REGISTRY: list[Registered] = []
"""The deployed operators, in the order of their files: every list of them comes from here."""


K = TypeVar("K", bound=type[Op])


def deployed(family: str, *, takes_signs: bool = False, takes_pixels: bool = False) -> Callable[[K], K]:
    """Registers an operator as one that deployed graphs may contain."""

    def register(kind: K) -> K:
        REGISTRY.append(Registered(kind, family, takes_signs, takes_pixels))
        return kind

    return register


def require(condition: bool, message: str) -> None:
    """Raises `GraphError(message)` unless the condition holds."""
    if not condition:
        raise GraphError(message)


def per_channel(values: Array, rank: int) -> Array:
    """Reshapes a vector [C] (or a scalar array) so that it broadcasts along dimension 1 of a tensor of this rank."""
    if values.ndim == 0:
        return values
    return values.reshape((1, -1) + (1,) * (rank - 2))


def broadcast(*shapes: Shape) -> Shape:
    """NumPy's broadcasting over shapes whose first dimension may be `BATCH` (which meets only itself or 1).

    Raises:
        GraphError: the shapes do not broadcast.
    """
    rank = max(len(shape) for shape in shapes)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = []
    for dims in zip(*padded, strict=True):
        distinct = {dim for dim in dims if dim != 1}
        require(len(distinct) <= 1, f"shapes {' and '.join(map(str, shapes))} do not broadcast")
        result.append(distinct.pop() if distinct else 1)
    return tuple(result)
