"""Operators that move values without computing."""

from __future__ import annotations

import math

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Concat, DepthToSpace, Pad, Permute, Reshape, Slice, UpsampleNearest
from fdabnn_tflite.emitter import Emitter, Tensor
from fdabnn_tflite.lower.lowerings import lowers
from fdabnn_tflite.runtime.tensors import Layout
from fdabnn_tflite.tensor_layout import NHWC, Form, natural_form


def _natural(emitter: Emitter, name: str) -> tuple[Tensor, Form]:
    """The form of a tensor by its rank: NHWC for images, else the graph's order."""
    form = natural_form(emitter.graph.shape(name))
    return emitter.as_form(name, form), form


def _mirrored_range(size: int, begin: int, end: int, step: int) -> tuple[int, int, int]:
    """The same range on a reversed dimension, for mirrored images."""
    last = begin + (end - 1 - begin) // step * step
    return size - 1 - last, size - begin, step


@lowers(Pad)
def lower_pad(emitter: Emitter, node: Node, op: Pad) -> None:
    """`Pad` or `PadV2`, nothing where nothing is padded; mirrored images swap the sides of height and width."""
    tensor, form = _natural(emitter, node.inputs[0])
    if not any(map(any, op.pads)):
        emitter.define(node.name, tensor, form)
        return
    pads = list(op.pads)
    if form == NHWC:
        spatial = [pair[::-1] if emitter.flipped else pair for pair in pads[1:]]
        pads = [*spatial, pads[0]]
    paddings = np.array([(0, 0), *pads], dtype=np.int32)
    if op.value == 0:
        result = emitter.emit("Pad", input=tensor, paddings=paddings)
    else:
        result = emitter.emit("PadV2", input=tensor, paddings=paddings, constant_values=np.float32(op.value))
    emitter.define(node.name, result, form)


@lowers(Slice)
def lower_slice(emitter: Emitter, node: Node, op: Slice) -> None:
    """`StridedSlice`; on a mirrored image of even size `::2` becomes `1::2`."""
    tensor, form = _natural(emitter, node.inputs[0])
    ranges = list(op.ranges)
    if form == NHWC:
        sizes = emitter.graph.shape(node.inputs[0])[2:]
        spatial = ranges[1:]
        if emitter.flipped:
            spatial = [_mirrored_range(size, *r) for size, r in zip(sizes, spatial, strict=True)]
        ranges = [*spatial, ranges[0]]
    emitter.define(node.name, emitter.slice(tensor, ranges), form)


@lowers(Concat)
def lower_concat(emitter: Emitter, node: Node, op: Concat) -> None:
    """`ConcatV2` of channels."""
    parts = [_natural(emitter, name) for name in node.inputs]
    form = parts[0][1]
    result = parts[0][0]
    if len(parts) > 1:
        axis = np.int32(3 if form == NHWC else 1)
        result = emitter.emit("ConcatV2", values=[tensor for tensor, _ in parts], axis=axis)
    emitter.define(node.name, result, form)


@lowers(Reshape)
def lower_reshape(emitter: Emitter, node: Node, op: Reshape) -> None:
    """`Reshape`. A flattened image keeps its order, and what reads it permutes its parameters instead."""
    graph, source = emitter.graph, node.inputs[0]
    before, after = graph.shape(source), graph.shape(node.name)
    tensor, form = emitter.stored(source)
    if before == after:
        emitter.define(node.name, tensor, form)
    elif form == NHWC and len(after) == 2:
        image = before[1:] if math.prod(before[2:]) > 1 else ()
        emitter.define(node.name, emitter.reshape(tensor, after), Form(Layout.FLAT, image))
    elif form.image and form.image == after[1:]:
        height_first = (after[0], *after[2:], after[1])
        emitter.define(node.name, emitter.reshape(tensor, height_first), NHWC)
    else:
        plain = emitter.to_graph_order(tensor, before, form)
        want = natural_form(after)
        emitter.define(node.name, emitter.from_graph_order(emitter.reshape(plain, after), after, want), want)


@lowers(Permute)
def lower_permute(emitter: Emitter, node: Node, op: Permute) -> None:
    """`Transpose`, in the graph's order of dimensions; the converter merges the transposes that follow one another."""
    graph, source = emitter.graph, node.inputs[0]
    tensor, form = emitter.stored(source)
    plain = emitter.to_graph_order(tensor, graph.shape(source), form)
    moved = emitter.emit("Transpose", x=plain, perm=np.array([0, *op.order], dtype=np.int32))
    shape = graph.shape(node.name)
    want = natural_form(shape)
    emitter.define(node.name, emitter.from_graph_order(moved, shape, want), want)


@lowers(DepthToSpace)
def lower_depth_to_space(emitter: Emitter, node: Node, op: DepthToSpace) -> None:
    """`DepthToSpace`. TensorFlow takes channel c of pixel p of a block from channel p C + c, the graph from channel c r^2 + p.

    `GatherV2` brings the channels into TensorFlow's order. A mirrored image has mirrored blocks: pixel p is r^2 - 1 - p.
    """
    image = emitter.nhwc(node.inputs[0])
    if op.factor == 1:
        emitter.define(node.name, image, NHWC)
        return
    channels = np.arange(int(image.shape[3]), dtype=np.int32).reshape(-1, op.factor**2)
    order = (channels[:, ::-1] if emitter.flipped else channels).T.reshape(-1)
    if not np.array_equal(order, np.sort(order)):
        image = emitter.emit("GatherV2", params=image, indices=order, axis=np.int32(3))
    result = emitter.emit("DepthToSpace", input=image, block_size=op.factor, data_format="NHWC")
    emitter.define(node.name, result, NHWC)


@lowers(UpsampleNearest)
def lower_upsample_nearest(emitter: Emitter, node: Node, op: UpsampleNearest) -> None:
    """`ResizeNearestNeighbor`, which is the same on a mirrored image; nothing where the size stays."""
    image = emitter.nhwc(node.inputs[0])
    if op.factors != (1, 1):
        size = np.array(emitter.graph.shape(node.name)[2:], dtype=np.int32)
        image = emitter.emit("ResizeNearestNeighbor", images=image, size=size)
    emitter.define(node.name, image, NHWC)
