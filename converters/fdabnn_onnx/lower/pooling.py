"""Spatial pooling in ONNX."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import AvgPool2d, GlobalAvgPool, GlobalSum, MaxPool2d
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower.lowerings import lowers


@lowers(MaxPool2d)
def lower_max_pool2d(to: Emitter, node: Node, op: MaxPool2d) -> None:
    """`MaxPool`, which pads with minus infinity.

    PyTorch's `ceil_mode` is written as padding behind the last row and column, since ONNX's attribute of that name counts
    windows differently (and differently again from opset 22 on).
    """
    sizes = to.graph.shape(node.inputs[0])[2:]
    counts = to.graph.shape(node.name)[2:]
    behind = [
        max((counts[a] - 1) * op.stride[a] + op.kernel[a] - sizes[a] - op.padding[a], 0)
        if op.ceil_mode
        else op.padding[a]
        for a in (0, 1)
    ]
    to.emit(
        "MaxPool", node, node.inputs, kernel_shape=op.kernel, strides=op.stride, pads=[*op.padding, *behind]
    )


@lowers(AvgPool2d)
def lower_avg_pool2d(to: Emitter, node: Node, op: AvgPool2d) -> None:
    """`AveragePool`."""
    to.emit(
        "AveragePool",
        node,
        node.inputs,
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=list(op.padding) * 2,
        count_include_pad=int(op.count_include_pad),
    )


@lowers(GlobalAvgPool)
def lower_global_avg_pool(to: Emitter, node: Node, op: GlobalAvgPool) -> None:
    """`ReduceMean` over height and width."""
    to.emit("ReduceMean", node, node.inputs, axes=[2, 3], keepdims=int(op.keepdims))


@lowers(GlobalSum)
def lower_global_sum(to: Emitter, node: Node, op: GlobalSum) -> None:
    """`ReduceSum` over height and width, whose axes are an input in this opset."""
    axes = to.parameter(node, "axes", np.array([2, 3], dtype=np.int64))
    to.emit("ReduceSum", node, [node.inputs[0], axes], keepdims=int(op.keepdims))
