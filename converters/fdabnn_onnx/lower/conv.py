"""Floating point convolution and dense layer in ONNX."""

from __future__ import annotations

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Conv2d, FloatArray, Linear
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower.lowerings import lowers


def _inputs(to: Emitter, node: Node, weight: FloatArray, bias: FloatArray | None) -> list[str]:
    names = [node.inputs[0], to.weights(node, "weight", weight)]
    if bias is not None:
        names.append(to.parameter(node, "bias", bias))
    return names


@lowers(Conv2d)
def lower_conv2d(to: Emitter, node: Node, op: Conv2d) -> None:
    """`Conv`."""
    to.emit(
        "Conv",
        node,
        _inputs(to, node, op.weight, op.bias),
        kernel_shape=op.weight.shape[2:],
        strides=op.stride,
        pads=list(op.padding) * 2,
        dilations=op.dilation,
        group=op.groups,
    )


@lowers(Linear)
def lower_linear(to: Emitter, node: Node, op: Linear) -> None:
    """`Gemm` with the weight as PyTorch stores it, [O, C]."""
    to.emit("Gemm", node, _inputs(to, node, op.weight, op.bias), transB=1)
