"""Moves the reshape behind a one-dimensional convolution below what acts on each value: `f(reshape(x)) = reshape(f(x))`.

Convolutions of sequences [N, C, L] are those of images of one row, [N, C, 1, L]. Norms, activations and signs between two of them then
stand right behind the convolution, where they are folded and packed, and the two reshapes cancel.
"""

from __future__ import annotations

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.transforms.base import Outcome, until_stable

_POINTWISE = (
    ops.Add,
    ops.Affine,
    ops.Clamp,
    ops.Maximum,
    ops.Mul,
    ops.PRelu,
    ops.Relu,
    ops.RoundToGrid,
    ops.Sign,
    ops.Sub,
    ops.TorchSign,
)


def sink_reshape(graph: Graph) -> Outcome:
    """Sinks until every such reshape stands before something else."""
    return until_stable(_sweep, graph)


def _sweep(graph: Graph) -> Outcome:
    editor, applied = Editor(graph), 0
    moved: set[str] = set()
    for node in graph:
        sources = graph.producers(node)
        fits = isinstance(node.op, _POINTWISE) and all(_of_a_row(graph, source) for source in sources)
        if not fits or moved & set(node.inputs):
            continue
        inner = editor.fresh(f"{node.name}_of_rows")
        rows = [source.inputs[0] for source in sources]
        # The tensor of rows has the values of the trained one in another shape.
        editor.add(Node(inner, node.op, tuple(rows), node.module, node.source, node.text), near=node.name)
        editor.set(node.name, ops.Reshape(tuple(graph.shape(node.name)[1:])), (inner,))
        moved.add(node.name)
        applied += 1
    return Outcome(editor.finish() if applied else graph, applied)


def _of_a_row(graph: Graph, node: Node) -> bool:
    """Whether it makes [N, C, L] of an image of one row."""
    if not isinstance(node.op, ops.Reshape):
        return False
    before, after = graph.shape(node.inputs[0]), graph.shape(node.name)
    return len(before) == 4 and before[2] == 1 and after == (before[0], before[1], before[3])
