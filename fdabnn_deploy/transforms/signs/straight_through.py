"""Removes straight-through estimators: `(sign(x) - s(x)) + s(x) -> sign(x)`.

Networks that swap gradients with `detach` leave terms in the forward sum that cancel, of whatever smooth function s they differentiate
through (Bi-Real's polynomial, a clamp, tanh), be it computed once or twice. A sum is flattened into signed terms; equal terms of opposite
sign cancel. In floating point the written sum is off by a rounding error; without the terms it is the sign that was meant.
"""

from __future__ import annotations

from fdabnn_deploy.ir.graph import Editor, Graph
from fdabnn_deploy.ir.ops import Add, Sub
from fdabnn_deploy.transforms.base import Outcome
from fdabnn_deploy.transforms.equal import first_equal


def straight_through(graph: Graph) -> Outcome:
    """Redirects every sum of which cancellation leaves one positive term."""
    editor, applied = Editor(graph), 0
    first = first_equal(graph)
    for node in graph:
        if not isinstance(node.op, Add | Sub):
            continue
        kept: list[tuple[int, str]] = []
        cancelled = 0
        for sign, term in ((sign, first[term]) for sign, term in _terms(graph, node.name, 1)):
            if (-sign, term) in kept:
                kept.remove((-sign, term))
                cancelled += 1
            else:
                kept.append((sign, term))
        if (
            cancelled
            and len(kept) == 1
            and kept[0][0] == 1
            and graph.shape(kept[0][1]) == graph.shape(node.name)
        ):
            editor.redirect(node.name, kept[0][1])
            applied += 1
    return Outcome(editor.finish() if applied else graph, applied)


def _terms(graph: Graph, name: str, sign: int) -> list[tuple[int, str]]:
    node = graph[name]
    if isinstance(node.op, Add | Sub):
        second = sign if isinstance(node.op, Add) else -sign
        return [*_terms(graph, node.inputs[0], sign), *_terms(graph, node.inputs[1], second)]
    return [(sign, name)]
