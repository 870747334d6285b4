"""An explicit zero padding of height and width in front of a convolution becomes the convolution's own padding."""

from __future__ import annotations

from dataclasses import replace

from fdabnn_deploy.ir.graph import Editor, Graph
from fdabnn_deploy.ir.ops import Pad, TrainedConv2d
from fdabnn_deploy.transforms.base import Outcome


def absorb_padding(graph: Graph) -> Outcome:
    """Applies where the padding is zero and the same on both sides."""
    editor, applied = Editor(graph), 0
    skipped: list[str] = []
    for node in graph.nodes_of(TrainedConv2d):
        pad = graph[node.inputs[0]]
        if not isinstance(pad.op, Pad) or not isinstance(node.op, TrainedConv2d):
            continue
        channels, rows, columns = pad.op.pads
        if pad.op.value != 0:
            skipped.append(f"{node.name}: {pad.name} pads with {pad.op.value:g}, not 0")
        elif channels != (0, 0) or rows[0] != rows[1] or columns[0] != columns[1]:
            skipped.append(f"{node.name}: {pad.name} does not pad both sides alike")
        else:
            own = node.op.padding
            editor.set(
                node.name, replace(node.op, padding=(own[0] + rows[0], own[1] + columns[0])), pad.inputs
            )
            applied += 1
    return Outcome(editor.finish() if applied else graph, applied, skipped=tuple(skipped))
