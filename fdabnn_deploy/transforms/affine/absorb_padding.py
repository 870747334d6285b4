"""An explicit zero padding of height and width in front of a convolution becomes the convolution's own padding.

Convolutions pad both sides alike. Where a layer of binary weights is padded otherwise, zeros in front of it would be a third value among
its signs: it pads both sides by more, in whole strides, and what that adds to the result is cut off.
"""

from __future__ import annotations

from dataclasses import replace

from fdabnn_deploy.ir.array_types import Pair
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Pad, Slice, TrainedConv2d
from fdabnn_deploy.transforms.base import Outcome


def absorb_padding(graph: Graph) -> Outcome:
    """Applies where the padding is zero, and the same on both sides or in front of binary weights."""
    editor, applied = Editor(graph), 0
    skipped: list[str] = []
    for node in graph.nodes_of(TrainedConv2d):
        pad = graph[node.inputs[0]]
        if not isinstance(pad.op, Pad) or not isinstance(node.op, TrainedConv2d):
            continue
        channels, rows, columns = pad.op.pads
        if pad.op.value != 0:
            skipped.append(f"{node.name}: {pad.name} pads with {pad.op.value:g}, not 0")
        elif channels != (0, 0) or (
            (rows[0] != rows[1] or columns[0] != columns[1]) and not node.op.weight.binarised
        ):
            skipped.append(f"{node.name}: {pad.name} does not pad both sides alike")
        elif rows[0] != rows[1] or columns[0] != columns[1]:
            _pad_more(editor, graph, node, pad, (rows, columns))
            applied += 1
        else:
            own = node.op.padding
            editor.set(
                node.name, replace(node.op, padding=(own[0] + rows[0], own[1] + columns[0])), pad.inputs
            )
            applied += 1
    return Outcome(editor.finish() if applied else graph, applied, skipped=tuple(skipped))


def _pad_more(editor: Editor, graph: Graph, node: Node, pad: Node, amounts: tuple[Pair, Pair]) -> None:
    """Pads both sides of a convolution by more, and cuts its result."""
    op = node.op
    assert isinstance(op, TrainedConv2d)
    paddings, ranges = [], [(0, graph.shape(node.name)[1], 1)]
    for axis, (first, last) in enumerate(amounts):
        before, behind, stride = op.padding[axis] + first, op.padding[axis] + last, op.stride[axis]
        more = max(-(-(behind - before) // stride), 0)
        paddings.append(before + more * stride)
        ranges.append((more, more + graph.shape(node.name)[2 + axis], 1))
    name = editor.fresh(f"{node.name}_cut")
    cut = Node(name, Slice(tuple(ranges)), (node.name,), node.module, node.source, node.text, node.trained)
    editor.add(cut, near=node.name)
    editor.redirect(node.name, name)
    editor.set(node.name, replace(op, padding=(paddings[0], paddings[1])), pad.inputs, same_values=False)
