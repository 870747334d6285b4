"""Choices and logic between tensors, as arithmetic with masks: a boolean is the number 0 or 1.

| written              | becomes                      |
|----------------------|------------------------------|
| `where(m, a, b)`     | `m * a + (1 - m) * b`        |
| `where(m, a, 0)`     | `m * a`                      |
| `where(m, 0, b)`     | `(1 - m) * b`                |
| `m and n`            | `m * n`                      |
| `m or n`             | `max(m, n)`                  |
| `m xor n`            | `(m - n)^2`                  |
| `not m`              | `1 - m`                      |
| `m.float()`          | `m`                          |

Nothing of this rounds: a product with 0 or 1 is exact, and so is a sum of which one term is 0. (An infinite value that is not chosen would
give NaN; exact graphs hold none.) Comparisons with one tensor or of two have become such numbers before (`canonical_sign`).
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Add, Constant, Logical, LogicalNot, Maximum, Mul, Op, Sub, ToFloat, Where
from fdabnn_deploy.transforms.base import Outcome


def lower_masks(graph: Graph) -> Outcome:
    """Rewrites every choice and every logical operator that is left."""
    lowering = _Lowering(graph)
    for node in graph.nodes_of(Where, Logical, LogicalNot, ToFloat):
        lowering.lower(node)
    return Outcome(lowering.editor.finish() if lowering.applied else graph, lowering.applied)


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.editor = Editor(graph)
        self.applied = 0

    def lower(self, node: Node) -> None:
        """Rewrites one node."""
        self.applied += 1
        # An earlier rewrite may have redirected its inputs.
        node = self.editor[node.name]
        if isinstance(node.op, ToFloat):
            self.editor.redirect(node.name, node.inputs[0])
        elif isinstance(node.op, LogicalNot):
            self.editor.set(node.name, Sub(), (self._one(node), node.inputs[0]))
        elif isinstance(node.op, Logical):
            self._logical(node, node.op.function)
        else:
            self._where(node)

    def _logical(self, node: Node, function: str) -> None:
        if function == "xor":
            difference = self._add(node, Sub(), node.inputs, "unequal")
            self.editor.set(node.name, Mul(), (difference, difference))
        else:
            self.editor.set(node.name, Mul() if function == "and" else Maximum(), node.inputs)

    def _where(self, node: Node) -> None:
        mask, chosen, other = node.inputs
        if self._is_zero(other):
            self.editor.set(node.name, Mul(), (mask, chosen))
            return
        inverse = self._add(node, Sub(), (self._one(node), mask), "inverse")
        if self._is_zero(chosen):
            self.editor.set(node.name, Mul(), (inverse, other))
            return
        first = self._add(node, Mul(), (mask, chosen), "chosen")
        second = self._add(node, Mul(), (inverse, other), "otherwise")
        self.editor.set(node.name, Add(), (first, second))

    def _is_zero(self, name: str) -> bool:
        op = self.editor[name].op
        return isinstance(op, Constant) and op.value.size == 1 and not np.any(op.value)

    def _one(self, node: Node) -> str:
        return self._add(node, Constant(np.ones((), dtype=np.float32)), (), "one")

    def _add(self, node: Node, op: Op, inputs: tuple[str, ...], part: str) -> str:
        name = self.editor.fresh(f"{node.module}/{part}" if node.module else part)
        self.editor.add(Node(name, op, inputs, node.module, node.source, node.text), near=node.name)
        return name
