"""Pointwise operators in ONNX. Parameters per channel get trailing dimensions of 1, so that they meet dimension 1."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    BorderOffset,
    Clamp,
    FloatArray,
    Maximum,
    Mul,
    PositionAffine,
    PRelu,
    Relu,
    Softmax,
    Sub,
)
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower.lowerings import lowers


def _per_channel(values: FloatArray, rank: int) -> FloatArray:
    """[C] -> [C, 1, ...] of rank - 1 dimensions; a scalar -> [1]."""
    return values.reshape(1) if values.ndim == 0 else values.reshape(-1, *(1,) * (rank - 2))


@lowers(Affine)
def lower_affine(to: Emitter, node: Node, op: Affine) -> None:
    """`Mul`, then `Add`; a half that does nothing is left out, and `Identity` stands where both do nothing."""
    rank, source = to.rank(node), node.inputs[0]
    if op.has_scale:
        scale = to.parameter(node, "scale", _per_channel(op.scale32, rank))
        source = to.emit("Mul", node, [source, scale], part="scaled" if op.has_offset else "")
    if op.has_offset:
        offset = to.parameter(node, "offset", _per_channel(op.offset32, rank))
        to.emit("Add", node, [source, offset])
    elif not op.has_scale:
        to.emit("Identity", node, [source])


@lowers(PositionAffine)
def lower_position_affine(to: Emitter, node: Node, op: PositionAffine) -> None:
    """`Mul`, then `Add`, as for `Affine`."""
    source = node.inputs[0]
    if op.has_scale:
        scale = to.parameter(node, "scale", op.scale)
        source = to.emit("Mul", node, [source, scale], part="scaled" if op.has_offset else "")
    if op.has_offset:
        to.emit("Add", node, [source, to.parameter(node, "offset", op.offset)])
    elif not op.has_scale:
        to.emit("Identity", node, [source])


@lowers(BorderOffset)
def lower_border_offset(to: Emitter, node: Node, op: BorderOffset) -> None:
    """`Gather` by row and by column from a small constant, then `Add`; ONNX Runtime gathers when it loads the file."""
    classes = to.parameter(node, "offset", op.offset[None])
    rows, columns = (
        to.parameter(node, part, places) for part, places in (("rows", op.rows), ("columns", op.columns))
    )
    by_row = to.emit("Gather", node, [classes, rows], part="by_row", axis=2)
    placed = to.emit("Gather", node, [by_row, columns], part="placed", axis=3)
    to.emit("Add", node, [node.inputs[0], placed])


@lowers(PRelu)
def lower_prelu(to: Emitter, node: Node, op: PRelu) -> None:
    """`PRelu`."""
    slope = to.parameter(node, "slope", _per_channel(op.slope, to.rank(node)))
    to.emit("PRelu", node, [node.inputs[0], slope])


@lowers(Relu)
def lower_relu(to: Emitter, node: Node, op: Relu) -> None:
    """`Relu`."""
    to.emit("Relu", node, node.inputs)


@lowers(Clamp)
def lower_clamp(to: Emitter, node: Node, op: Clamp) -> None:
    """`Clip`."""
    low = to.parameter(node, "low", np.array(op.low, dtype=np.float32))
    high = to.parameter(node, "high", np.array(op.high, dtype=np.float32))
    to.emit("Clip", node, [node.inputs[0], low, high])


@lowers(Add, Sub, Mul, Maximum)
def lower_elementwise(to: Emitter, node: Node, op: Add | Sub | Mul | Maximum) -> None:
    """`Add`, `Sub`, `Mul` or `Max`."""
    to.emit("Max" if isinstance(op, Maximum) else op.kind, node, node.inputs)


@lowers(Softmax)
def lower_softmax(to: Emitter, node: Node, op: Softmax) -> None:
    """`Softmax` or `LogSoftmax`."""
    to.emit("LogSoftmax" if op.log else "Softmax", node, node.inputs, axis=1)
