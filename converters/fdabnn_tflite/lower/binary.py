"""Signs, binary convolutions and binary dense layers, in the one form in which LCE makes each of them 1-bit.

LCE's convolution pads with zeros (SAME) or with +1 (a `PadV2` of the signs by 1.0 that equals SAME, then VALID). Its zeros give wrong
sums where a window is larger than the image. Zeros there, and any other padding, are put in front of the sign, where +1 is an
ordinary float: the padded taps then count +1. Where they should have counted zero, their weights are subtracted again, as a constant
integer image:

    y[i, j, o] = border[i, j, o] - (sum over all taps of x * -w),   border[i, j, o] = -(sum of w[o] over the taps outside)

All of it are integers below 2^24, so nothing is rounded. The weights are negated and the constant stands on the left of a `Sub`,
because LCE would merge a constant `Add` into the convolution as if it were one bias per channel, and the file would not load.
"""

from __future__ import annotations

import hashlib

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.ir.ops.conv import conv2d_reference
from fdabnn_tflite.emitter import Emitter, Tensor
from fdabnn_tflite.lower.lowerings import lowers
from fdabnn_tflite.runtime.tensors import Layout
from fdabnn_tflite.tensor_layout import NHWC, Form, Pair, in_order, op_windows, pads_before_sign


@lowers(ops.Sign)
def lower_sign(emitter: Emitter, node: Node, op: ops.Op) -> None:
    """`where(x < 0, -1, 1)`; what only binary dense layers read is given its shape before the sign."""
    source = node.inputs[0]
    if any(isinstance(reader.op, ops.BinaryLinear) for reader in emitter.graph.consumers(node.name)):
        tensor, form = emitter.pixel(source)
    else:
        tensor, form = emitter.stored(source)
    emitter.define(node.name, emitter.sign(tensor), form)


@lowers(ops.BinaryConv2d)
def lower_binary_conv2d(emitter: Emitter, node: Node, op: ops.BinaryConv2d) -> None:
    """A `Conv2D` of signs with weights +-1; groups are split, because LCE's default kernels refuse grouped convolutions."""
    graph = emitter.graph
    place = op_windows(op, graph.shape(node.inputs[0]), graph.shape(node.name), emitter.flipped)
    before_sign = pads_before_sign(op, place)
    lce_pads = any(map(any, place.pads)) and not before_sign
    kernels = _stored_kernels(op, emitter.flipped)
    group_in, group_out = op.weight.shape[1], op.weight.shape[0] // op.groups
    sign = _sign_in_front(emitter, node)
    if sign is not None and op.groups == 1 and not before_sign and not any(place.crop):
        _emit_sign(emitter, sign)
        signs = [emitter.nhwc(sign.name)]
    else:
        source = sign.inputs[0] if sign is not None else node.inputs[0]
        floats = emitter.crop(emitter.nhwc(source), place.crop)
        if before_sign:
            floats = emitter.pad(floats, place.pads, 1.0)
        signs = [
            emitter.sign(emitter.channels(floats, group * group_in, (group + 1) * group_in))
            for group in range(op.groups)
        ]
    parts = []
    for group, bits in enumerate(signs):
        weight = kernels[..., group * group_out : (group + 1) * group_out]
        if lce_pads and op.padding_value == 0:
            part = _conv(emitter, node, bits, weight, op, same=True)
        elif before_sign and op.padding_value == 0:
            size = (int(bits.shape[1]), int(bits.shape[2]))
            border = _border(weight, size, place.pads, op)
            part = emitter.emit("Sub", x=border, y=_conv(emitter, node, bits, -weight, op))
        else:
            part = _conv(emitter, node, bits, weight, op, ones=place.pads if lce_pads else None)
        parts.append(part)
    result = parts[0] if len(parts) == 1 else emitter.emit("ConcatV2", values=parts, axis=np.int32(3))
    emitter.define(node.name, result, NHWC)


@lowers(ops.BinaryLinear)
def lower_binary_linear(emitter: Emitter, node: Node, op: ops.BinaryLinear) -> None:
    """A 1x1 convolution of [N, 1, 1, C]: LCE knows no other binary dense layer."""
    sign = _sign_in_front(emitter, node)
    if sign is not None:
        _emit_sign(emitter, sign)
        signs, form = emitter.pixel(sign.name)
    else:
        values, form = emitter.pixel(node.inputs[0])
        signs = emitter.sign(values)
    weight = in_order(op.weight, form, emitter.flipped).T.astype(np.float32)[None, None]
    conv = ops.BinaryConv2d(op.weight[:, :, None, None])
    result = _conv(emitter, node, signs, weight, conv)
    emitter.define(node.name, result, Form(Layout.PIXEL))


def _stored_kernels(op: ops.BinaryConv2d, flipped: bool) -> FloatArray:
    """The weights as float HWIO, mirrored with the images."""
    kernels = op.weight.transpose(2, 3, 1, 0).astype(np.float32)
    return kernels[::-1, ::-1] if flipped else kernels


def _conv(
    emitter: Emitter,
    node: Node,
    signs: Tensor,
    weight: FloatArray,
    op: ops.BinaryConv2d,
    *,
    same: bool = False,
    ones: tuple[Pair, Pair] | None = None,
) -> Tensor:
    """One convolution. Equal ones are emitted once, because the converter would merge them and the file's count would not be ours."""
    weight = np.ascontiguousarray(weight)
    digest = hashlib.sha256(weight.tobytes()).digest()
    key = (signs.op.name, weight.shape, digest, op.stride, op.dilation, same, ones)
    if key not in emitter.binary_convs:
        result = emitter.binary_conv(signs, weight, op.stride, op.dilation, same=same, ones=ones)
        emitter.binary_convs[key] = result
        emitter.binary_layers[result.op.name] = node.name
    return emitter.binary_convs[key]


def _border(weight: FloatArray, size: Pair, pads: tuple[Pair, Pair], op: ops.BinaryConv2d) -> FloatArray:
    """The constant [1, H', W', O] of the module's formula, for signs of this size, padding included."""
    outside = np.ones((1, 1, *size), dtype=np.float32)
    (top, bottom), (left, right) = pads
    outside[:, :, top : size[0] - bottom, left : size[1] - right] = 0
    sums = weight.sum(axis=2).transpose(2, 0, 1)[:, None]
    return -conv2d_reference(outside, sums, op.stride, (0, 0), op.dilation, 1).transpose(0, 2, 3, 1)


def _sign_in_front(emitter: Emitter, node: Node) -> Node | None:
    """The sign that a binary layer reads, or None where it reads signs that something has moved about since.

    Raises:
        ModelRefusedError: it reads other values than signs.
    """
    name = node.inputs[0]
    if not is_binary(emitter.graph, name):
        raise ModelRefusedError(
            f"binary layer {node.name} ({node.module or 'no module'}) reads {name}, whose values are not only +1 and -1: "
            "put a sign directly in front of it"
        )
    producer = emitter.graph[name]
    return producer if isinstance(producer.op, ops.Sign) else None


def _emit_sign(emitter: Emitter, sign: Node) -> None:
    if not emitter.is_defined(sign.name):
        previous = emitter.begin(sign)
        lower_sign(emitter, sign, sign.op)
        emitter.begin(previous)


def is_binary(graph: Graph, name: str) -> bool:
    """Whether a tensor has no other values than +1 and -1 by construction."""
    node = graph[name]
    if isinstance(node.op, ops.Sign):
        return True
    if isinstance(node.op, ops.MaxPool2d | ops.Slice | ops.Concat | ops.Reshape | ops.Permute) or (
        isinstance(node.op, ops.Pad) and abs(node.op.value) == 1
    ):
        return all(is_binary(graph, source) for source in node.inputs)
    return False
