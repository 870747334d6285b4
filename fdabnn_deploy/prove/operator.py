"""An operator of a file, as the readers of all formats see it on the way to the neutral form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from fdabnn_deploy.prove import refusals
from fdabnn_deploy.prove.domain import Constants
from fdabnn_deploy.prove.program import Step
from fdabnn_deploy.prove.rows import UnprovedError


class Operator(ABC):
    """One operator with the constants it may read; a format's own class adds its attributes.

    Args:
        op: its name in the file.
        inputs: names of tensors, "" for an operand that is left out.
        outputs: those that have a name.
        constants: of the file, by name.
    """

    def __init__(
        self, op: str, inputs: list[str], outputs: list[str], constants: dict[str, Constants]
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self._constants = constants

    @abstractmethod
    def reader(self) -> Callable[[Any], Step] | None:
        """The function that makes a step of this operator; None where it has no neutral form."""

    def step(self) -> Step:
        """The operator in neutral form; of kind `unknown`, with the reason, where it has none."""
        try:
            reader = self.reader()
            if reader is None:
                raise UnprovedError(refusals.reason(self.op))
            if len(self.outputs) != 1:
                raise UnprovedError("it has several outputs")
            return reader(self)
        except UnprovedError as error:
            return self.make("unknown", self.inputs, reason=str(error))

    def make(
        self, kind: str, inputs: list[str] | None = None, activation: Any = None, **attributes: Any
    ) -> Step:
        """A step of this kind that reads these tensors, by default all of the operator's."""
        chosen = self.inputs if inputs is None else inputs
        output = self.outputs[0] if self.outputs else ""
        return Step(self.op, kind, tuple(filter(None, chosen)), output, attributes, activation)

    def has(self, index: int) -> bool:
        """Whether an operand is there."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def constant(self, index: int) -> Constants:
        """The values of an operand.

        Raises:
            UnprovedError: it is not there, or computed.
        """
        if not self.has(index) or self.inputs[index] not in self._constants:
            raise UnprovedError(f"its input {index} is not a constant of the file")
        return self._constants[self.inputs[index]]

    def optional(self, index: int) -> Constants | None:
        """The values of an operand, None where it is left out.

        Raises:
            UnprovedError: it is computed.
        """
        return self.constant(index) if self.has(index) else None
