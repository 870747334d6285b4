"""Turns additions behind convolutions into subtractions: `Add(x, conv(w, b)) -> Sub(x, conv(-w, -b))`.

Otherwise ONNX Runtime accumulates the convolution into x (`fusion_hazards.ACCUMULATE`): the partial sums then contain x, whose values are
on no common grid, and round. A subtraction computes the same bits and is not fused. It costs nothing: negation is exact.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fdabnn_deploy.exact.fusion_hazards import BINARY_LAYERS, FLOAT_LAYERS, LAYERS
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Add, Affine, Op, Sub
from fdabnn_deploy.transforms.base import Outcome


def guard_sums(graph: Graph) -> Outcome:
    """Rewrites every addition of which an operand can be fused: one that only the addition reads."""
    editor, applied = Editor(graph), 0
    for node in graph.nodes_of(Add):
        first, second = (_negated(graph, name, node) for name in node.inputs)
        if second is not None and node.inputs[0] != node.inputs[1]:
            editor.set(node.inputs[1], second, graph[node.inputs[1]].inputs, same_values=False)
            editor.set(node.name, Sub(), node.inputs)
        elif first is not None and node.inputs[0] != node.inputs[1]:
            editor.set(node.inputs[0], first, graph[node.inputs[0]].inputs, same_values=False)
            editor.set(node.name, Sub(), reversed(node.inputs))
        else:
            continue
        applied += 1
    return Outcome(editor.finish() if applied else graph, applied)


def _negated(graph: Graph, name: str, reader: Node) -> Op | None:
    """The operator that makes `-name`, where a kernel that makes `name` could take up the addition behind it."""
    node = graph[name]
    if name in graph.outputs or graph.consumers(name) != (reader,):
        return None
    if isinstance(node.op, Affine):
        source = graph[node.inputs[0]]
        if isinstance(source.op, LAYERS):
            return Affine(-node.op.scale, -node.op.offset)
    if isinstance(node.op, FLOAT_LAYERS):
        bias = None if node.op.bias is None else np.negative(node.op.bias)
        return replace(node.op, weight=np.negative(node.op.weight), bias=bias)
    if isinstance(node.op, BINARY_LAYERS):
        return replace(node.op, weight=np.negative(node.op.weight))
    return None
