"""What every operator of the graph is: an immutable value with a shape rule and a NumPy meaning.

Conventions, valid for all operators:

- Tensors are NCHW (or NC behind a flatten). Dimension 0 is the batch and is written `BATCH` in shapes; no operator mixes images.
- `reference` is the specification: slow, readable, float32 in and out. Where an operator sums many products, the sum is carried in
  float64 and rounded once, so that it is the value every runtime approximates (and equals, where the sum is exact).
- Parameters live inside the operator as NumPy arrays; operators never change after construction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

BATCH = -1
Shape = tuple[int, ...]
FloatArray = NDArray[np.float32]
DoubleArray = NDArray[np.float64]
Array = NDArray[Any]


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
