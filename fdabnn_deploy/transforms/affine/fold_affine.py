"""Folds scale, bias and norm into as few affines as possible, in float64.

| rule                                                        | because                                            |
|-------------------------------------------------------------|----------------------------------------------------|
| `Affine(A2, B2)(Affine(A1, B1)(x)) -> Affine(A1 A2, B1 A2 + B2)` | both are linear                               |
| the same where one of both is a `PositionAffine` -> `PositionAffine` | the same |
| `Affine(1, 0)(x) -> x`                                      | it computes nothing                                |
| `Affine(A, B)(conv(x, w) + b) -> conv(x, A w) + (A b + B)`  | a float conv or dense layer absorbs what follows   |
| `linear(Affine(A, B)(x)) -> linear'(x)`, `w' = w A`, `b' = b + w B` | a float dense layer absorbs what stands before |
| `f(Affine(s, 0)(x)) -> Affine(s, 0)(f(x))`, s >= 0          | PReLU, ReLU and max pooling are positively homogeneous |

The last rule brings the weight scale of a binary convolution, which stands before its activation, to the norm behind it. A binary
convolution never absorbs a scale: its weights stay +-1.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from fdabnn_deploy.ir.array_types import DoubleArray, FloatArray
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Affine, Conv2d, Linear, MaxPool2d, PositionAffine, PRelu, Relu
from fdabnn_deploy.transforms.base import Outcome, until_stable


def fold_affine(graph: Graph) -> Outcome:
    """Applies the rules until none fits."""
    return until_stable(_sweep, graph)


def _sweep(graph: Graph) -> Outcome:
    editor, applied = Editor(graph), 0
    for node in graph:
        if node.name not in editor:
            continue
        current = editor[node.name]
        if isinstance(current.op, Affine):
            applied += _fold_one(editor, current, current.op) or _by_position(editor, current, current.op)
        elif isinstance(current.op, PositionAffine):
            applied += _by_position(editor, current, current.op)
        elif isinstance(current.op, Linear):
            applied += _into_linear(editor, current, current.op)
        elif isinstance(current.op, PRelu | Relu | MaxPool2d):
            applied += _behind(editor, current)
    return Outcome(editor.finish() if applied else graph, applied)


def _alone(editor: Editor, producer: str, consumer: str) -> bool:
    """Whether the consumer is the only one that sees the producer's tensor."""
    return not editor.is_output(producer) and [n.name for n in editor.consumers(producer)] == [consumer]


def _fold_one(editor: Editor, node: Node, op: Affine) -> bool:
    if not np.any(op.scale != 1) and not np.any(op.offset):
        editor.redirect(node.name, node.inputs[0])
        return True
    source = editor[node.inputs[0]]
    if not _alone(editor, source.name, node.name):
        return False
    if isinstance(source.op, Affine):
        inner = source.op
        editor.set(
            node.name, Affine(inner.scale * op.scale, inner.offset * op.scale + op.offset), source.inputs
        )
        return True
    if isinstance(source.op, Conv2d | Linear):
        weight, bias = source.op.weight.astype(np.float64), _bias64(source.op)
        scale = op.scale.reshape((-1,) + (1,) * (weight.ndim - 1))
        folded = replace(source.op, weight=_round(weight * scale), bias=_round(bias * op.scale + op.offset))
        editor.set(source.name, folded, source.inputs, same_values=False)
        editor.redirect(node.name, source.name)
        return True
    return False


def _by_position(editor: Editor, node: Node, op: Affine | PositionAffine) -> bool:
    """Two in a row of which at least one goes by position."""
    source = editor[node.inputs[0]]
    inner = source.op
    if not isinstance(inner, Affine | PositionAffine) or not _alone(editor, source.name, node.name):
        return False
    if isinstance(op, Affine) and isinstance(inner, Affine):
        return False
    rank = max(part.scale.ndim for part in (inner, op))
    (inner_scale, inner_offset), (scale, offset) = (_parameters(part, rank) for part in (inner, op))
    folded = PositionAffine(_round(inner_scale * scale), _round(inner_offset * scale + offset))
    editor.set(node.name, folded, source.inputs)
    return True


def _parameters(op: Affine | PositionAffine, rank: int) -> tuple[DoubleArray, DoubleArray]:
    """Scale and offset of an image with so many dimensions."""
    scale, offset = (values.astype(np.float64) for values in (op.scale, op.offset))
    if isinstance(op, Affine):
        return scale.reshape(-1, *(1,) * (rank - 1)), offset.reshape(-1, *(1,) * (rank - 1))
    return scale, offset


def _into_linear(editor: Editor, node: Node, op: Linear) -> bool:
    source = editor[node.inputs[0]]
    if not isinstance(source.op, Affine) or not _alone(editor, source.name, node.name):
        return False
    weight = op.weight.astype(np.float64)
    offset = np.array([_exact_dot(row, source.op.offset) for row in weight])
    editor.set(
        node.name,
        replace(op, weight=_round(weight * source.op.scale), bias=_round(_bias64(op) + offset)),
        source.inputs,
    )
    return True


def _behind(editor: Editor, node: Node) -> bool:
    """Moves `Affine(s >= 0, 0)` behind this node where another affine behind it will take it up."""
    source = editor[node.inputs[0]]
    if not isinstance(source.op, Affine) or np.any(source.op.offset) or np.any(source.op.scale < 0):
        return False
    consumers = editor.consumers(node.name)
    if len(consumers) != 1 or not isinstance(consumers[0].op, Affine | PRelu | Relu | MaxPool2d):
        return False
    if (
        not _leads_to_affine(editor, node)
        or editor.is_output(node.name)
        or not _alone(editor, source.name, node.name)
    ):
        return False
    inner = editor.fresh(f"{node.name}_unscaled")
    editor.add(Node(inner, node.op, source.inputs, node.module, node.source), near=node.name)
    editor.set(node.name, source.op, (inner,))
    return True


def _leads_to_affine(editor: Editor, node: Node) -> bool:
    consumers = editor.consumers(node.name)
    if len(consumers) != 1 or editor.is_output(node.name):
        return False
    if isinstance(consumers[0].op, Affine):
        return True
    return isinstance(consumers[0].op, PRelu | Relu | MaxPool2d) and _leads_to_affine(editor, consumers[0])


def _bias64(op: Conv2d | Linear) -> DoubleArray:
    return np.zeros(op.weight.shape[0]) if op.bias is None else op.bias.astype(np.float64)


def _exact_dot(a: DoubleArray, b: DoubleArray) -> float:
    """Order-independent where the products are: `math.fsum` of the rounded products."""
    return math.fsum((a * b).tolist())


def _round(values: DoubleArray) -> FloatArray:
    return values.astype(np.float32)
