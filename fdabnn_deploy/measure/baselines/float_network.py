"""A file as a list of steps that rules rewrite: the prover's neutral form, which both formats have, kept together with the file.

A step that no rule touches is written back as the operator that it was read from. So the rules know the few kinds they change, and
everything else of a file, other tools' operators included, passes through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fdabnn_deploy.exact.record import KEY, Numerics
from fdabnn_deploy.prove.domain import Constants
from fdabnn_deploy.prove.program import Program, Step

BINARY = "binary"
"""Attribute of a layer that was a binary one: its number among them."""

LAYERS = ("linear", "dense")
"""Kinds of steps with weights."""


@dataclass(frozen=True)
class FileLayer:
    """A binary layer of the file that was read.

    Attributes:
        name: of the layer, as the file says it.
        op: index of its operator in the file.
        tensor: name of the first tensor that the operator writes.
        node: name of the operator; where operators have none, that of the tensor.
    """

    name: str
    op: int
    tensor: str
    node: str


@dataclass(frozen=True)
class Item:
    """A step and where it comes from.

    Attributes:
        step: what it computes.
        origin: index of the file's operator, or None where a rule made the step.
    """

    step: Step
    origin: int | None = None


@dataclass
class Network:
    """A file under reconstruction.

    Attributes:
        items: in the order they run.
        constants: by name.
        inputs: names of the input tensors.
        outputs: names of the output tensors.
        labels: names for readers, by tensor.
        reads: what the file's operators read: by index, the names of all inputs, "" where one is left out.
        writes: what they write, likewise.
        channel: the axis of channels of an image.
        record: what the file says of its numerics.
        aliases: tensors that are gone, and those that stand for them.
        layers: the binary layers, by the number that their step carries.
    """

    items: list[Item]
    constants: dict[str, Constants]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    labels: dict[str, str]
    reads: list[list[str]]
    writes: list[list[str]]
    channel: int
    record: Numerics
    aliases: dict[str, str] = field(default_factory=dict)
    layers: list[FileLayer] = field(default_factory=list)

    def resolve(self, name: str) -> str:
        """The tensor that replaced this one; itself if none did."""
        while name in self.aliases:
            name = self.aliases[name]
        return name

    def label(self, name: str) -> str:
        """The name of a tensor in reports."""
        return self.labels.get(name, name)

    def sources(self, item: Item) -> list[str]:
        """The tensors that a step reads, constants included."""
        names = item.step.inputs if item.origin is None else self.reads[item.origin]
        return [self.resolve(name) for name in names if name]

    def results(self, item: Item) -> list[str]:
        """The tensors that a step makes."""
        return [item.step.output] if item.origin is None else self.writes[item.origin]

    def uses(self) -> Counter[str]:
        """How often each tensor is read; outputs count once more."""
        counts = Counter(self.resolve(name) for name in self.outputs)
        for item in self.items:
            counts.update(self.sources(item))
        return counts

    def makers(self) -> dict[str, Item]:
        """The step that makes each tensor."""
        return {item.step.output: item for item in self.items}

    def drop_dead(self) -> None:
        """Removes steps that no output needs."""
        needed = {self.resolve(name) for name in self.outputs}
        kept = []
        for item in reversed(self.items):
            if not needed.isdisjoint(self.results(item)):
                needed.update(self.sources(item))
                kept.append(item)
        self.items = kept[::-1]


def network_of(
    program: Program,
    reads: list[list[str]],
    writes: list[list[str]],
    channel: int,
    record: Numerics,
    origins: Sequence[int] | None = None,
) -> Network:
    """The network of a file that was read.

    Args:
        program: its steps.
        reads: see `Network`.
        writes: likewise.
        channel: likewise.
        record: likewise.
        origins: for every step, the index of its operator; None where steps and operators correspond one to one.
    """
    return Network(
        items=[
            Item(step, i) for i, step in zip(origins or range(len(program.steps)), program.steps, strict=True)
        ],
        constants=dict(program.constants),
        inputs=tuple(program.inputs),
        outputs=program.outputs,
        labels=dict(program.labels),
        reads=reads,
        writes=writes,
        channel=channel,
        record=record,
    )


def record_of(metadata: Mapping[str, str]) -> Numerics:
    """The numerics in a file's metadata; the default ones for a file of another tool."""
    try:
        return Numerics.from_text(metadata[KEY]) if KEY in metadata else Numerics()
    except ValueError:
        return Numerics()


def changed(item: Item, output: str | None = None, **attributes: Any) -> Item:
    """A layer with other attributes, to be written anew; by default it makes the same tensor."""
    step = item.step
    return Item(
        replace(
            step,
            output=step.output if output is None else output,
            attributes={**step.attributes, **attributes},
        )
    )


def bias_of(step: Step) -> Constants:
    """The bias of a layer, zeros where it has none."""
    bias = step.attributes["bias"]
    outputs = len(step.attributes["weight"])
    if bias is None:
        return np.zeros(outputs, dtype=np.float32)
    return np.broadcast_to(np.asarray(bias, dtype=np.float32).reshape(-1), (outputs,))


def with_activation(layer: Item, activation: tuple[float, float] | float | None) -> Item:
    """The layer with an activation in it, or without one."""
    return Item(replace(layer.step, activation=activation))


def negated(layer: Item, output: str) -> Item:
    """The layer with the opposite result, which goes to another tensor."""
    attributes = layer.step.attributes
    bias = None if attributes["bias"] is None else -bias_of(layer.step)
    return changed(layer, output, weight=-attributes["weight"], bias=bias)
