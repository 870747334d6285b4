"""Floating point convolutions and dense layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Conv2d, FloatArray, Linear
from fdabnn_tflite.emitter import Emitter, Tensor
from fdabnn_tflite.lower.lowerings import lowers
from fdabnn_tflite.tensor_layout import FLAT, NHWC, Padding, in_order, op_windows


@lowers(Conv2d)
def lower_conv2d(emitter: Emitter, node: Node, op: Conv2d) -> None:
    """`Conv2D`, or `DepthwiseConv2dNative` where each channel is a group; zero padding that SAME cannot express is a `Pad`."""
    graph = emitter.graph
    place = op_windows(op, graph.shape(node.inputs[0]), graph.shape(node.name), emitter.flipped)
    image = emitter.crop(emitter.nhwc(node.inputs[0]), place.crop)
    if place.padding is Padding.EXPLICIT:
        image = emitter.pad(image, place.pads, 0.0)
    padding = "SAME" if place.padding is Padding.SAME else "VALID"
    kernels = op.weight.transpose(2, 3, 1, 0)
    if emitter.flipped:
        kernels = kernels[::-1, ::-1]
    if place.padding is Padding.SAME:
        kernels = _reaching_the_end(kernels, image.shape[1:3], op)
    result = _convolve(emitter, image, np.ascontiguousarray(kernels), op, padding)
    if op.bias is not None:
        result = emitter.emit("AddV2", x=result, y=op.bias)
    emitter.define(node.name, result, NHWC)


def _reaching_the_end(kernels: FloatArray, size: Sequence[int], op: Conv2d) -> FloatArray:
    """Kernels [height, width, ...] with rows and columns of zeros, so that the last window ends with the image.

    Where a stride leaves out the last row or column, the formula of SAME has a negative number of zeros to pad. TensorFlow pads none;
    XNNPACK in TensorFlow 2.21 computes wrong values then, for kernels of one row or two (findings/tensorflow-xnnpack-rows-left-out.sh).
    """
    pads = [(0, 0)] * kernels.ndim
    for axis in (0, 1):
        out = -(-size[axis] // op.stride[axis])
        missing = size[axis] - (out - 1) * op.stride[axis] - kernels.shape[axis]
        if missing > 0 and (kernels.shape[axis] == 1 or op.dilation[axis] == 1):
            pads[axis] = (0, missing)
    return np.pad(kernels, pads)


def _convolve(emitter: Emitter, image: Tensor, kernels: FloatArray, op: Conv2d, padding: str) -> Tensor:
    strides, dilations = [1, *op.stride, 1], [1, *op.dilation, 1]
    group_in = op.weight.shape[1]
    if op.groups > 1 and group_in == 1 and op.stride[0] == op.stride[1]:
        height, width, _, outputs = kernels.shape
        return emitter.emit(
            "DepthwiseConv2dNative",
            input=image,
            filter=kernels.reshape(height, width, op.groups, outputs // op.groups),
            strides=strides,
            dilations=dilations,
            padding=padding,
        )
    return emitter.emit(
        "Conv2D", input=image, filter=kernels, strides=strides, dilations=dilations, padding=padding
    )


@lowers(Linear)
def lower_linear(emitter: Emitter, node: Node, op: Linear) -> None:
    """`MatMul`; the weights take the order of a flattened image, so that nothing has to be transposed."""
    tensor, form = emitter.flat(node.inputs[0])
    weight = np.ascontiguousarray(in_order(op.weight, form, emitter.flipped).T)
    result = emitter.emit("MatMul", a=tensor, b=weight)
    if op.bias is not None:
        result = emitter.emit("AddV2", x=result, y=op.bias)
    emitter.define(node.name, result, FLAT)
