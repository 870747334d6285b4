"""Which tensors are others rounded to a grid: what bounds the remainder `x - round(x)`, where limits alone know nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fdabnn_deploy.prove.domain import Value, is_power_of_two
from fdabnn_deploy.prove.program import Step


@dataclass(frozen=True)
class Relation:
    """A tensor is another one times a factor, up to an error.

    Attributes:
        tensor: the other tensor.
        factor: a power of two.
        error: largest magnitude of the difference.
    """

    tensor: str
    factor: float
    error: float


class Relations:
    """Follows products by powers of two and roundings through a program."""

    def __init__(self) -> None:
        self._known: dict[str, Relation] = {}

    def _of(self, name: str) -> Relation:
        return self._known.get(name, Relation(name, 1.0, 0.0))

    def follow(self, step: Step, factor: Value | None) -> None:
        """Takes note of a step; `factor` is its second operand."""
        if step.kind == "round":
            known = self._of(step.inputs[0])
            self._known[step.output] = Relation(known.tensor, known.factor, known.error + 0.5)
        elif step.kind == "identity":
            self._known[step.output] = self._of(step.inputs[0])
        elif (
            step.kind == "mul"
            and step.activation is None
            and factor is not None
            and factor.constant is not None
        ):
            scale = float(factor.constant.reshape(-1)[0]) if factor.constant.size == 1 else 0.0
            if scale > 0 and is_power_of_two(factor.constant):
                known = self._of(step.inputs[0])
                self._known[step.output] = Relation(known.tensor, known.factor * scale, known.error * scale)

    def difference(self, a: str, b: str) -> float:
        """A bound of `|a - b|`, infinite where none is known."""
        first, second = self._of(a), self._of(b)
        if first.tensor != second.tensor or first.factor != 1 or second.factor != 1:
            return math.inf
        return first.error + second.error
