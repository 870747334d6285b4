"""One operator in a graph of its own, and how far a result may be off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import DEPLOYED, REGISTRY, Array, FloatArray, Input, Op, Sign
from fdabnn_deploy.ir.ops.drawing import floats
from fdabnn_deploy.ir.reference import evaluate

KINDS: tuple[type[Op], ...] = tuple(sorted(DEPLOYED - {Input}, key=lambda kind: kind.__name__))
"""The operators that compute something."""

_TAKES_SIGNS = frozenset(entry.kind for entry in REGISTRY if entry.takes_signs)
_TAKES_PIXELS = frozenset(entry.kind for entry in REGISTRY if entry.takes_pixels)


@dataclass(frozen=True)
class Case:
    """One operator in a graph of its own.

    Attributes:
        name: for test reports.
        graph: inputs, the operator as node "y", and a `Sign` before it where the operator takes signs.
        inputs: one array [N, ...] per graph input.
    """

    name: str
    graph: Graph
    inputs: tuple[Array, ...]

    @property
    def op(self) -> Op:
        """The operator in question."""
        return self.graph["y"].op

    def violations(self, outputs: Sequence[FloatArray]) -> int:
        """How many values are further from the reference than `Op.allowed_error`, or all where shape or type are wrong."""
        (expected,) = evaluate(self.graph, self.inputs)
        if len(outputs) != 1 or outputs[0].shape != expected.shape or outputs[0].dtype != np.float32:
            return max(expected.size, 1)
        error = np.abs(outputs[0].astype(np.float64) - expected)
        return int(
            np.count_nonzero(~((outputs[0] == expected) | (error <= self.op.allowed_error(*self.inputs))))
        )


def make_case(name: str, op: Op, shapes: Sequence[tuple[int, ...]], rng: np.random.Generator) -> Case:
    """A case with inputs [2, *shape] that hold special values, or bytes; 1-bit layers get a sign in front."""
    names, pixels = [f"x{i}" for i in range(len(shapes))], type(op) in _TAKES_PIXELS
    nodes = [Node(name, Input(shape, pixels)) for name, shape in zip(names, shapes, strict=True)]
    if type(op) in _TAKES_SIGNS:
        nodes.append(Node("sign", Sign(), ("x0",)))
        names = ["sign"]
    graph = Graph([*nodes, Node("y", op, tuple(names))], ["y"])
    if pixels:
        return Case(name, graph, tuple(rng.integers(0, 256, (2, *shape), np.uint8) for shape in shapes))
    return Case(name, graph, tuple(floats(rng, (2, *shape), special=True) for shape in shapes))
