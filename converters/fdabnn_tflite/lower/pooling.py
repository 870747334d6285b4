"""Spatial pooling."""

from __future__ import annotations

import math

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import AvgPool2d, FloatArray, GlobalAvgPool, GlobalSum, MaxPool2d
from fdabnn_deploy.ir.ops.conv import conv2d_reference
from fdabnn_tflite.emitter import Emitter
from fdabnn_tflite.lower.lowerings import lowers
from fdabnn_tflite.tensor_layout import FLAT, NHWC, Padding, Pair, op_windows


@lowers(MaxPool2d)
def lower_max_pool2d(emitter: Emitter, node: Node, op: MaxPool2d) -> None:
    """`MaxPool`; padding that SAME cannot express is a `PadV2` by minus infinity, which no maximum and no sign notices.

    Nothing for windows of one value side by side, whose batch XNNPACK keeps when all others are resized.
    """
    graph = emitter.graph
    if op.kernel == op.stride == (1, 1):
        emitter.define(node.name, emitter.nhwc(node.inputs[0]), NHWC)
        return
    place = op_windows(op, graph.shape(node.inputs[0]), graph.shape(node.name), emitter.flipped)
    image = emitter.crop(emitter.nhwc(node.inputs[0]), place.crop)
    if place.padding is Padding.EXPLICIT:
        image = emitter.pad(image, place.pads, -math.inf)
    result = emitter.emit(
        "MaxPool",
        input=image,
        ksize=[1, *op.kernel, 1],
        strides=[1, *op.stride, 1],
        padding="SAME" if place.padding is Padding.SAME else "VALID",
    )
    emitter.pools.append(result)
    emitter.define(node.name, result, NHWC)


@lowers(AvgPool2d)
def lower_avg_pool2d(emitter: Emitter, node: Node, op: AvgPool2d) -> None:
    """`AvgPool`, which with SAME counts the taps inside the image only.

    Where the padding is counted, zeros are padded first. Where it is not and SAME cannot express it, the mean over all taps is
    multiplied by a constant image of `kh kw / (taps inside)`.
    """
    graph = emitter.graph
    place = op_windows(op, graph.shape(node.inputs[0]), graph.shape(node.name), emitter.flipped)
    image = emitter.crop(emitter.nhwc(node.inputs[0]), place.crop)
    same = place.padding is Padding.SAME and not op.count_include_pad
    size = (int(image.shape[1]), int(image.shape[2]))
    if not same:
        image = emitter.pad(image, place.pads, 0.0)
    result = emitter.emit(
        "AvgPool",
        value=image,
        ksize=[1, *op.kernel, 1],
        strides=[1, *op.stride, 1],
        padding="SAME" if same else "VALID",
    )
    if not same and not op.count_include_pad and any(map(any, place.pads)):
        result = emitter.emit("Mul", x=result, y=_shares(size, place.pads, op))
    emitter.define(node.name, result, NHWC)


def _shares(size: Pair, pads: tuple[Pair, Pair], op: AvgPool2d) -> FloatArray:
    """`kh kw / (taps inside the image)` of every window, [1, H', W', 1]."""
    inside = np.pad(np.ones((1, 1, *size), dtype=np.float32), ((0, 0), (0, 0), *pads))
    counts = conv2d_reference(inside, np.ones((1, 1, *op.kernel)), op.stride, (0, 0), (1, 1), 1)
    return (op.kernel[0] * op.kernel[1] / counts).astype(np.float32).transpose(0, 2, 3, 1)


@lowers(GlobalAvgPool, GlobalSum)
def lower_global(emitter: Emitter, node: Node, op: GlobalAvgPool | GlobalSum) -> None:
    """`Mean` or `Sum` over height and width, which mirroring does not change."""
    kind = "Sum" if isinstance(op, GlobalSum) else "Mean"
    image = emitter.nhwc(node.inputs[0])
    result = emitter.emit(kind, input=image, axis=np.array([1, 2], dtype=np.int32), keep_dims=op.keepdims)
    emitter.define(node.name, result, NHWC if op.keepdims else FLAT)
