"""Turns additions behind convolutions into subtractions: `Add(x, conv(w, b)) -> Sub(x, conv(-w, -b))`.

ONNX Runtime fuses a convolution and the addition of its result into one kernel that accumulates *into* the other operand: on
aarch64 always, on x86 where both operands are convolutions. Its partial sums then hold that operand, which is on no common grid, and
round. A subtraction computes the same bits and nothing fuses it. It costs nothing: negation is exact.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Add, Affine, BinaryConv2d, BinaryLinear, Conv2d, Linear, Op, Sub
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
        if isinstance(source.op, Conv2d | Linear | BinaryConv2d | BinaryLinear):
            return Affine(-node.op.scale, -node.op.offset)
    if isinstance(node.op, Conv2d | Linear):
        bias = None if node.op.bias is None else np.negative(node.op.bias)
        return replace(node.op, weight=np.negative(node.op.weight), bias=bias)
    if isinstance(node.op, BinaryConv2d | BinaryLinear):
        return replace(node.op, weight=np.negative(node.op.weight))
    return None
