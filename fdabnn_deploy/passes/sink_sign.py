"""Moves signs down to the layer that uses them: `f(Sign(x)) = Sign(f(x))` for everything that only moves or selects values.

Reshape, slice, transposition and concatenation move values; max pooling selects one, and the sign is monotone; padding signs with +1
or -1 is padding their source with the same number. Binary kernels and targets recognise a sign that stands right before its layer.
A uniform scale behind a sign, `Affine(h, 0)` with h > 0, moves down the same way.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.graph import Editor, Graph, Node
from fdabnn_deploy.ops import Affine, Concat, MaxPool2d, Op, Pad, Permute, Reshape, Sign, Slice
from fdabnn_deploy.passes.base import Outcome, until_stable


def sink_sign(graph: Graph) -> Outcome:
    """Sinks until every sign stands before something else than a mover."""
    return until_stable(_sweep, graph)


def _moves(op: Op) -> bool:
    return isinstance(op, Reshape | Slice | Permute | Concat | MaxPool2d) or (
        isinstance(op, Pad) and op.value in (1.0, -1.0)
    )


def _sweep(graph: Graph) -> Outcome:
    editor, applied = Editor(graph), 0
    touched: set[str] = set()
    for node in graph:
        if not _moves(node.op) or node.name in touched or touched & set(node.inputs):
            continue
        sources = [graph[name] for name in node.inputs]
        moved = _movable(graph, node, sources)
        if moved is None:
            continue
        inner = editor.fresh(f"{node.name}_of_values")
        editor.add(
            Node(inner, node.op, tuple(s.inputs[0] for s in sources), node.module, node.source),
            near=node.name,
        )
        editor.set(node.name, moved, (inner,))
        touched |= {node.name, *(s.name for s in sources)}
        applied += 1
    return Outcome(editor.finish() if applied else graph, applied)


def _movable(graph: Graph, node: Node, sources: list[Node]) -> Op | None:
    """The operator that stands behind the mover afterwards, or None."""
    if all(isinstance(s.op, Sign) for s in sources):
        return Sign()
    if isinstance(node.op, Concat | Pad):
        return None
    scale = sources[0].op
    if not isinstance(scale, Affine) or not _behind_sign(graph, sources[0]):
        return None
    if np.any(scale.offset) or np.ptp(scale.scale) or scale.scale[0] <= 0:
        return None
    channels = graph.shape(node.name)[1]
    return Affine(np.full(channels, scale.scale[0]), np.zeros(channels))


def _behind_sign(graph: Graph, node: Node) -> bool:
    return isinstance(graph[node.inputs[0]].op, Sign)
