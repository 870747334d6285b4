"""Removes what is multiplied by zero: the noise adaptation modules of a finished FDA-BNN checkpoint, whose alpha is 0.

`y * 0 -> 0`, `x + 0 -> x`, `x - 0 -> x` (Xu et al. 2021, eq. 13: training adds `alpha * e(t)` to `sign(t)`). A product with zero is
dropped even though `inf * 0` would be NaN: the noise module of a finished network is not part of it.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Editor, Graph
from fdabnn_deploy.ir.ops import Add, Constant, Mul, Sub
from fdabnn_deploy.transforms.base import Outcome, until_stable


def drop_noise(graph: Graph) -> Outcome:
    """Applies the rule everywhere; `applied` counts the zero products and the sums they left."""
    return until_stable(_sweep, graph)


def _sweep(graph: Graph) -> Outcome:
    editor, applied = Editor(graph), 0

    def zero(name: str) -> bool:
        op = editor[name].op
        return isinstance(op, Constant) and not np.any(op.value)

    for node in graph:
        if isinstance(node.op, Mul) and any(zero(name) for name in node.inputs):
            editor.set(node.name, Constant(np.zeros((), dtype=np.float32)), ())
            applied += 1
        elif isinstance(node.op, Add | Sub):
            first, second = editor[node.name].inputs
            kept = first if zero(second) else second if zero(first) and isinstance(node.op, Add) else None
            if kept is not None and graph.shape(kept) == graph.shape(node.name):
                editor.redirect(node.name, kept)
                applied += 1
    return Outcome(editor.finish() if applied else graph, applied)
