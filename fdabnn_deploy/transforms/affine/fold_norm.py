"""Batch norm in eval mode is an affine: `A = gamma / sqrt(var + eps)`, `B = beta - mean * A`, in float64.

Source: Ioffe and Szegedy 2015, algorithm 2.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Editor, Graph
from fdabnn_deploy.ir.ops import Affine, BatchNorm
from fdabnn_deploy.transforms.base import Outcome


def fold_norm(graph: Graph) -> Outcome:
    """Replaces every `BatchNorm` by an `Affine`; gammas may be negative or zero."""
    editor, applied = Editor(graph), 0
    for node in graph:
        op = node.op
        if isinstance(op, BatchNorm):
            scale = op.gamma / np.sqrt(op.var + op.eps)
            editor.set(node.name, Affine(scale, op.beta - op.mean * scale), node.inputs)
            applied += 1
    return Outcome(editor.finish() if applied else graph, applied)
