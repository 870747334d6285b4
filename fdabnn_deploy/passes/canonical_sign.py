"""Gives every spelling of a sign its one deployed form, `Sign`: `x < 0` is -1, all else is +1.

| written                                         | becomes                                     |
|-------------------------------------------------|---------------------------------------------|
| `torch.sign(x)`                                 | `Sign(x)`; zeros count as +1 from here on   |
| `where(x < c, a, b)`, `where(x >= c, b, a)`     | `Affine(Sign(x - c))` with values a and b   |
| `(x >= c).float()` (0 or 1)                     | `Affine(Sign(x - c))`, 1/2 and 1/2          |
| `where(x > c, b, a)`, `where(x <= c, a, b)`     | the same; the tie `x == c` changes sides    |
| `sign(sign(x) + c)` with `abs(c) < 1`           | `Sign(x)`                                   |
| `sign(x) + (x == 0)`                            | `Sign(x)`                                   |

The affine of a two-valued tensor is folded by later passes: `2 * (x >= 0).float() - 1` is `Sign(x)` once that is done.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.graph import Editor, Graph, Node
from fdabnn_deploy.ops import (
    Add,
    Affine,
    Compare,
    Constant,
    LogicalNot,
    Sign,
    Sub,
    ToFloat,
    TorchSign,
    Where,
)
from fdabnn_deploy.passes.base import Outcome

_NEGATED = {"lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}
_SWAPPED = {"lt": "gt", "gt": "lt", "le": "ge", "ge": "le"}


def canonical_sign(graph: Graph) -> Outcome:
    """Rewrites all spellings of the table above."""
    editor, applied, ties = Editor(graph), 0, 0
    skipped: list[str] = []
    for node in graph:
        found = _two_valued(graph, node)
        if isinstance(found, str):
            skipped.append(f"{node.name}: {found}")
        elif found is not None:
            x, threshold, below, above, tie = found
            _emit(editor, graph, node, x, threshold, below, above)
            applied += 1
            ties += tie
    notes = []
    if ties:
        notes.append(
            f"{ties} signs are written so that a zero counts as 0 or -1; deployed, a zero counts as +1"
        )
    return Outcome(editor.finish() if applied else graph, applied, tuple(notes), tuple(skipped))


Found = tuple[str, float, float, float, bool]


def _two_valued(graph: Graph, node: Node) -> Found | str | None:
    """(x, threshold, value below, value from the threshold on, whether the tie changes sides)."""
    op = node.op
    if isinstance(op, TorchSign):
        return (_before_shift(graph, node.inputs[0]), 0.0, -1.0, 1.0, True)
    if isinstance(op, Add):
        for sign, equal in (node.inputs, node.inputs[::-1]):
            x = graph[sign].inputs[0] if isinstance(graph[sign].op, TorchSign) else None
            if x is not None and _is_zero_test(graph, equal, x):
                return (x, 0.0, -1.0, 1.0, False)
        return None
    if isinstance(op, ToFloat):
        comparison = _comparison(graph, node.inputs[0])
        return None if comparison is None else _ordered(comparison, 1.0, 0.0)
    if isinstance(op, Where):
        comparison = _comparison(graph, node.inputs[0])
        values = [graph.constant(name) for name in node.inputs[1:]]
        if comparison is None:
            return None
        numbers = [float(v.value) for v in values if v is not None and v.value.ndim == 0]
        if len(numbers) < 2:
            return "where() chooses between tensors, not between two numbers"
        return _ordered(comparison, *numbers)
    return None


def _comparison(graph: Graph, name: str) -> tuple[str, str, float] | None:
    """(x, relation, threshold) of `x <relation> number`, through negations."""
    node = graph[name]
    if isinstance(node.op, LogicalNot):
        inner = _comparison(graph, node.inputs[0])
        return None if inner is None else (inner[0], _NEGATED[inner[1]], inner[2])
    if not isinstance(node.op, Compare) or node.op.relation not in _NEGATED:
        return None
    relation = node.op.relation
    for x, other, rel in (
        (node.inputs[0], node.inputs[1], relation),
        (node.inputs[1], node.inputs[0], _SWAPPED[relation]),
    ):
        constant = graph.constant(other)
        if constant is not None and constant.value.ndim == 0 and graph.constant(x) is None:
            return (x, rel, float(constant.value))
    return None


def _ordered(comparison: tuple[str, str, float], if_true: float, if_false: float) -> Found:
    x, relation, threshold = comparison
    below, above = (if_true, if_false) if relation in ("lt", "le") else (if_false, if_true)
    return (x, threshold, below, above, relation in ("gt", "le"))


def _before_shift(graph: Graph, name: str) -> str:
    """X of `sign(x) + c` with |c| < 1 (whose sign is the sign of x), else the name itself."""
    node = graph[name]
    if isinstance(node.op, Add | Sub):
        inner = graph[node.inputs[0]]
        shift = graph.constant(node.inputs[1])
        if isinstance(inner.op, TorchSign) and shift is not None and np.all(np.abs(shift.value) < 1):
            return inner.inputs[0]
    return name


def _is_zero_test(graph: Graph, name: str, x: str) -> bool:
    node = graph[name]
    if isinstance(node.op, ToFloat):
        node = graph[node.inputs[0]]
    if not isinstance(node.op, Compare) or node.op.relation != "eq" or x not in node.inputs:
        return False
    constant = graph.constant(node.inputs[1]) or graph.constant(node.inputs[0])
    return constant is not None and not np.any(constant.value)


def _emit(
    editor: Editor, graph: Graph, node: Node, x: str, threshold: float, below: float, above: float
) -> None:
    channels = graph.shape(node.name)[1] if len(graph.shape(node.name)) > 1 else 1
    base = f"{node.module}/" if node.module else ""
    if threshold:
        constant, shifted = editor.fresh(f"{base}threshold"), editor.fresh(f"{base}shifted")
        editor.add(
            Node(constant, Constant(np.array(threshold, dtype=np.float32)), (), node.module, node.source),
            near=node.name,
        )
        editor.add(Node(shifted, Sub(), (x, constant), node.module, node.source), near=node.name)
        x = shifted
    if (below, above) == (-1.0, 1.0):
        editor.set(node.name, Sign(), (x,))
        return
    sign = editor.fresh(f"{base}sign")
    editor.add(Node(sign, Sign(), (x,), node.module, node.source), near=node.name)
    half, middle = (above - below) / 2, (above + below) / 2
    editor.set(node.name, Affine(np.full(channels, half), np.full(channels, middle)), (sign,))
