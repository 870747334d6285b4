"""Arithmetic with constants becomes affine: `x * c`, `x / c`, `x + c`, `x - c`, `c - x`, `-x`, by channel or by position.

`max(x, c)` becomes `max(x, 0 x + c)`, or a clamp where c is one number.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    Array,
    Clamp,
    Div,
    Maximum,
    Mul,
    Op,
    PositionAffine,
    Shape,
    Sub,
    Unary,
)
from fdabnn_deploy.transforms.base import Outcome


def fold_constants(graph: Graph) -> Outcome:
    """Rewrites every such node; a constant that varies within a channel becomes one by position."""
    editor, applied = Editor(graph), 0
    skipped: list[str] = []
    for node in graph:
        replaced = _affine(graph, node)
        if isinstance(replaced, str):
            skipped.append(f"{node.name}: {replaced}")
        elif replaced is not None:
            op, x = replaced
            if isinstance(node.op, Maximum) and not isinstance(op, Clamp):
                limit = editor.fresh(f"{node.name}_limit")
                editor.add(Node(limit, op, (x,), node.module, node.source, node.text), near=node.name)
                editor.set(node.name, Maximum(), (x, limit))
            else:
                editor.set(node.name, op, (x,))
            applied += 1
    return Outcome(editor.finish() if applied else graph, applied, skipped=tuple(skipped))


def _vector(value: Array, shape: Shape) -> DoubleArray | None:
    """The constant as one number per channel of a tensor of this shape, or None where it varies within a channel."""
    channels = shape[1]
    if value.size == 1:
        return np.full(channels, float(value.reshape(())))
    padded = value.reshape((1,) * (len(shape) - value.ndim) + value.shape)
    if padded.shape[1] == channels and padded.size == channels:
        return padded.reshape(channels).astype(np.float64)
    return None


def _affine(graph: Graph, node: Node) -> tuple[Affine | Clamp | PositionAffine, str] | str | None:
    """The replacement and the tensor it reads, the reason why there is none, or None where the rule has nothing to say."""
    op, shape = node.op, graph.shape(node.name)
    if len(shape) < 2:
        return None
    if isinstance(op, Unary) and op.function == "neg":
        return Affine(-np.ones(shape[1]), np.zeros(shape[1])), node.inputs[0]
    if not isinstance(op, Add | Sub | Mul | Div | Maximum):
        return None
    constants = [graph.constant(name) for name in node.inputs]
    if all(c is None for c in constants):
        return None
    first = constants[0] is not None
    x, constant = (node.inputs[1], constants[0]) if first else (node.inputs[0], constants[1])
    assert constant is not None
    if graph.constant(x) is not None or graph.shape(x) != shape:
        return "the constant enlarges the tensor"
    vector = _vector(constant.value, shape)
    if vector is None:
        placed = _by_position(op, constant.value, shape, first)
        return placed if isinstance(placed, str) else (placed, x)
    replaced = _operator(op, vector, first)
    return replaced if isinstance(replaced, str) else (replaced, x)


def _by_position(op: Op, constant: Array, shape: Shape, first: bool) -> Clamp | PositionAffine | str:
    """The same for a constant that varies within a channel; `shape` is that of the result."""
    values = constant.reshape((1,) * (len(shape) - constant.ndim) + constant.shape)
    flat = _operator(op, values[0].astype(np.float64).reshape(-1), first)
    if isinstance(flat, str):
        return f"{flat} (that varies within a channel)"
    if isinstance(flat, Clamp):
        return flat
    return PositionAffine(flat.scale32.reshape(values.shape[1:]), flat.offset32.reshape(values.shape[1:]))


def _operator(op: Op, vector: DoubleArray, first: bool) -> Affine | Clamp | str:
    """The affine operator that equals an operator with a constant vector; `first` says that the constant is its first operand.

    Of a maximum with numbers that differ, it is the operand that holds them.
    """
    ones, zeros = np.ones_like(vector), np.zeros_like(vector)
    if isinstance(op, Add):
        return Affine(ones, vector)
    if isinstance(op, Sub):
        return Affine(-ones, vector) if first else Affine(ones, -vector)
    if isinstance(op, Mul):
        return Affine(vector, zeros)
    if isinstance(op, Div):
        return "a constant divided by a tensor is not supported" if first else Affine(1 / vector, zeros)
    if np.ptp(vector):
        return Affine(zeros, vector)
    return Clamp(float(np.float32(vector[0])), float("inf"))
