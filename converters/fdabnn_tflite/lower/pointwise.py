"""Operators that act on each value alone."""

from __future__ import annotations

import math

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    Array,
    BorderOffset,
    Clamp,
    Maximum,
    Mul,
    Op,
    PositionAffine,
    PRelu,
    Relu,
    Softmax,
    Sub,
)
from fdabnn_tflite.emitter import Emitter
from fdabnn_tflite.lower.lowerings import lowers
from fdabnn_tflite.tensor_layout import FLAT, NHWC, channel_values, natural_form

_BINARY: dict[type[Op], str] = {Add: "AddV2", Sub: "Sub", Mul: "Mul", Maximum: "Maximum"}


def _arranged(emitter: Emitter, node: Node, values: Array) -> Array:
    source = node.inputs[0]
    return channel_values(values, emitter.graph.shape(source), emitter.form(source), emitter.flipped)


@lowers(Affine)
def lower_affine(emitter: Emitter, node: Node, op: Affine) -> None:
    """`Mul` and `Add` as two ops, each left out where it does nothing; LCE makes them its convolution's multiplier and bias."""
    tensor, form = emitter.stored(node.inputs[0])
    if op.has_scale:
        tensor = emitter.emit("Mul", x=tensor, y=_arranged(emitter, node, op.scale32))
    if op.has_offset:
        tensor = emitter.emit("AddV2", x=tensor, y=_arranged(emitter, node, op.offset32))
    emitter.define(node.name, tensor, form)


@lowers(PositionAffine)
def lower_position_affine(emitter: Emitter, node: Node, op: PositionAffine) -> None:
    """`Mul` and `Sub` with constants that lie as the tensor does."""
    source = node.inputs[0]
    form = natural_form(emitter.graph.shape(source))
    tensor = emitter.as_form(source, form)
    if op.has_scale:
        tensor = emitter.emit("Mul", x=tensor, y=_placed(emitter, op.scale))
    if op.has_offset:
        # See `lower_border_offset`.
        tensor = emitter.emit("Sub", x=tensor, y=-_placed(emitter, op.offset))
    emitter.define(node.name, tensor, form)


@lowers(BorderOffset)
def lower_border_offset(emitter: Emitter, node: Node, op: BorderOffset) -> None:
    """Two `GatherV2` from a small constant, by row and by column, and `Sub` of the negated values.

    TensorFlow Lite's converter would make one constant of two that are added one after the other, which is another rounding.
    """
    rows, columns = (
        (places[::-1] if emitter.flipped else places).astype(np.int32) for places in (op.rows, op.columns)
    )
    classes = np.ascontiguousarray(-op.offset.transpose(1, 2, 0))[None]
    by_row = emitter.emit("GatherV2", params=classes, indices=np.ascontiguousarray(rows), axis=np.int32(1))
    placed = emitter.emit("GatherV2", params=by_row, indices=np.ascontiguousarray(columns), axis=np.int32(2))
    emitter.define(node.name, emitter.emit("Sub", x=emitter.nhwc(node.inputs[0]), y=placed), NHWC)


def _placed(emitter: Emitter, values: Array) -> Array:
    """Values by position [C, H, W] as the images are stored; of other tensors as they are."""
    if values.ndim != 3:
        return values
    stored = values.transpose(1, 2, 0)
    return np.ascontiguousarray(stored[::-1, ::-1] if emitter.flipped else stored)


@lowers(PRelu)
def lower_prelu(emitter: Emitter, node: Node, op: PRelu) -> None:
    """`LeakyRelu` where all channels share a slope; else a slope per channel."""
    tensor, form = emitter.stored(node.inputs[0])
    if np.all(op.slope == op.slope.flat[0]):
        result = emitter.emit("LeakyRelu", features=tensor, alpha=float(op.slope.flat[0]))
    else:
        result = emitter.prelu(tensor, np.ascontiguousarray(_arranged(emitter, node, op.slope)))
    emitter.define(node.name, result, form)


@lowers(Relu)
def lower_relu(emitter: Emitter, node: Node, op: Relu) -> None:
    """`Relu`."""
    tensor, form = emitter.stored(node.inputs[0])
    emitter.define(node.name, emitter.emit("Relu", features=tensor), form)


@lowers(Clamp)
def lower_clamp(emitter: Emitter, node: Node, op: Clamp) -> None:
    """`Maximum` and `Minimum`, each left out where its limit is infinite."""
    tensor, form = emitter.stored(node.inputs[0])
    if op.low != -math.inf:
        tensor = emitter.emit("Maximum", x=tensor, y=np.float32(op.low))
    if op.high != math.inf:
        tensor = emitter.emit("Minimum", x=tensor, y=np.float32(op.high))
    emitter.define(node.name, tensor, form)


@lowers(Add, Sub, Mul, Maximum)
def lower_elementwise(emitter: Emitter, node: Node, op: Add | Sub | Mul | Maximum) -> None:
    """`Add`, `Sub`, `Mul`, `Maximum` of two tensors that lie alike."""
    graph = emitter.graph
    left, right = node.inputs
    form = emitter.form(left)
    if form != emitter.form(right):
        form = natural_form(graph.shape(left))
    a, b = emitter.as_form(left, form), emitter.as_form(right, form)
    emitter.define(node.name, emitter.emit(_BINARY[type(node.op)], x=a, y=b), form)


@lowers(Softmax)
def lower_softmax(emitter: Emitter, node: Node, op: Softmax) -> None:
    """`Softmax` or `LogSoftmax` over the classes."""
    logits = emitter.as_form(node.inputs[0], FLAT)
    result = emitter.emit("LogSoftmax" if op.log else "Softmax", logits=logits)
    emitter.define(node.name, result, FLAT)
