"""Drops positive factors and divisors that only signs read: `sign(x / p) = sign(x)` and `sign(x p) = sign(x)` for p > 0.

Networks divide by the deviation of a layer's input before its sign (RBNN, SiMaN), or scale it by its mean magnitude. No runtime rounds
such a factor like another, and none is needed. What is positive is told from how it is computed: squares, deviations and exponentials
are, and so are their sums, means, roots and products. A divisor that may be 0 counts as positive: the trained network has an infinity of
the same sign there, or no number at all.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.transforms.base import Outcome

_NOT_NEGATIVE = frozenset({"var", "std", "norm", "linalg_vector_norm", "abs", "square", "relu", "softmax"})
_POSITIVE = frozenset({"exp", "sigmoid", "softplus", "cosh"})


class Least(IntEnum):
    """The smallest value that a tensor may have."""

    UNKNOWN = 0
    ZERO = 1
    ABOVE_ZERO = 2


def positive_divisors(graph: Graph) -> Outcome:
    """Drops every such factor."""
    editor, applied = Editor(graph), 0
    least = _Search(graph)
    for node in graph.nodes_of(ops.Div, ops.Mul):
        x, factor = node.inputs
        if isinstance(node.op, ops.Mul) and least.of(factor) < Least.ABOVE_ZERO:
            x, factor = factor, x
        needed = Least.ABOVE_ZERO if isinstance(node.op, ops.Mul) else Least.ZERO
        fits = graph.shape(x) == graph.shape(node.name) and graph.constant(x) is None
        if least.of(factor) < needed or not fits or not _only_signs_read(graph, node):
            continue
        channels = graph.shape(node.name)[1]
        # It does nothing, and later passes drop it: the tensor has other values than the trained one.
        editor.set(node.name, ops.Affine(np.ones(channels), np.zeros(channels)), (x,), same_values=False)
        applied += 1
    return Outcome(editor.finish() if applied else graph, applied)


def _only_signs_read(graph: Graph, node: Node) -> bool:
    """Whether all that reads a tensor asks for the signs of its values."""
    if node.name in graph.outputs:
        return False
    readers = graph.consumers(node.name)
    return bool(readers) and all(
        isinstance(reader.op, ops.Sign | ops.TorchSign)
        or (_keeps_sides(reader.op) and _only_signs_read(graph, reader))
        for reader in readers
    )


def _keeps_sides(op: ops.Op) -> bool:
    """Whether the signs of its results follow from those of its operands, up to a negation."""
    if isinstance(op, ops.Clamp):
        return op.low < 0 < op.high
    return isinstance(op, ops.Mover | ops.MaxPool2d) or (isinstance(op, ops.Unary) and op.function == "neg")


class _Search:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._known: dict[str, Least] = {}

    def of(self, name: str) -> Least:
        """The smallest value of a tensor, as far as it shows."""
        if name not in self._known:
            self._known[name] = self._least(self._graph[name])
        return self._known[name]

    def _least(self, node: Node) -> Least:
        op = node.op
        if isinstance(op, ops.Constant):
            return _of_values(op.value)
        if isinstance(op, ops.Opaque | ops.Unary):
            return self._function(node, op.function)
        if isinstance(op, ops.Relu):
            return max(Least.ZERO, self.of(node.inputs[0]))
        if isinstance(op, ops.Clamp):
            return _of_values(np.asarray(op.low))
        if isinstance(op, ops.Add | ops.Maximum):
            parts = [self.of(source) for source in node.inputs]
            return max(parts) if isinstance(op, ops.Maximum) or min(parts) > Least.UNKNOWN else Least.UNKNOWN
        if isinstance(op, ops.Mul) and len(set(node.inputs)) == 1:
            return Least.ZERO
        if isinstance(op, ops.Mul | ops.Div):
            return min(self.of(source) for source in node.inputs)
        if isinstance(op, ops.Mover | ops.MaxPool2d | ops.AvgPool2d | ops.GlobalAvgPool | ops.Concat):
            return min(self.of(source) for source in node.inputs)
        return Least.UNKNOWN

    def _function(self, node: Node, function: str) -> Least:
        if function in _POSITIVE:
            return Least.ABOVE_ZERO
        own = min((self.of(source) for source in node.inputs), default=Least.UNKNOWN)
        if function in ("sqrt", "rsqrt", "reciprocal"):
            return own
        return Least.ZERO if function in _NOT_NEGATIVE else Least.UNKNOWN


def _of_values(values: ops.Array) -> Least:
    if not np.all(np.isfinite(values)) or not np.all(values >= 0):
        return Least.UNKNOWN
    return Least.ABOVE_ZERO if np.all(values > 0) else Least.ZERO
