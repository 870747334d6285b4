"""Which function lowers which operator, and the walk over the graph."""

from __future__ import annotations

from collections.abc import Callable

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    AvgPool2d,
    BinaryConv2d,
    BinaryLinear,
    Clamp,
    Concat,
    Conv2d,
    GlobalAvgPool,
    GlobalSum,
    Input,
    Linear,
    Maximum,
    MaxPool2d,
    Mul,
    Op,
    Pad,
    Permute,
    PRelu,
    Relu,
    Reshape,
    RoundToGrid,
    Saturate,
    Sign,
    Slice,
    Softmax,
    Sub,
)
from fdabnn_tflite.emitter import Emitter, Tensor
from fdabnn_tflite.layout import natural_form
from fdabnn_tflite.lower.binary import lower_binary_conv2d, lower_binary_linear, lower_sign
from fdabnn_tflite.lower.conv import lower_conv2d, lower_linear
from fdabnn_tflite.lower.grid import lower_round_to_grid, lower_saturate
from fdabnn_tflite.lower.layout import lower_concat, lower_pad, lower_permute, lower_reshape, lower_slice
from fdabnn_tflite.lower.pointwise import (
    lower_affine,
    lower_clamp,
    lower_elementwise,
    lower_prelu,
    lower_relu,
    lower_softmax,
)
from fdabnn_tflite.lower.pooling import lower_avg_pool2d, lower_global, lower_max_pool2d

LOWERINGS: dict[type[Op], Callable[[Emitter, Node], None]] = {
    Sign: lower_sign,
    BinaryConv2d: lower_binary_conv2d,
    BinaryLinear: lower_binary_linear,
    Conv2d: lower_conv2d,
    Linear: lower_linear,
    Affine: lower_affine,
    PRelu: lower_prelu,
    Relu: lower_relu,
    Clamp: lower_clamp,
    Saturate: lower_saturate,
    RoundToGrid: lower_round_to_grid,
    Add: lower_elementwise,
    Sub: lower_elementwise,
    Mul: lower_elementwise,
    Maximum: lower_elementwise,
    Softmax: lower_softmax,
    MaxPool2d: lower_max_pool2d,
    AvgPool2d: lower_avg_pool2d,
    GlobalAvgPool: lower_global,
    GlobalSum: lower_global,
    Pad: lower_pad,
    Slice: lower_slice,
    Concat: lower_concat,
    Reshape: lower_reshape,
    Permute: lower_permute,
}


def lower_graph(emitter: Emitter, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Emits the whole graph.

    A sign is emitted when something reads it: where a binary convolution has to pad in front of its sign, the bare sign is never
    needed.

    Args:
        emitter: fresh, for the graph to lower.
        inputs: the function's arguments in the graph's order, each in its natural form and not mirrored.

    Returns:
        The graph's outputs in order, likewise.

    Raises:
        ModelRefusedError: an operator has no lowering.
    """
    graph = emitter.graph
    arguments = dict(zip(graph.inputs, inputs, strict=True))
    needed = set(graph.outputs)
    for node in reversed(list(graph)):
        needed.update(node.inputs if node.name in needed else ())
    for node in graph:
        if node.name not in needed and not isinstance(node.op, Input):
            continue
        emitter.begin(node)
        if isinstance(node.op, Input):
            shape = graph.shape(node.name)
            tensor = arguments[node.name]
            emitter.define(
                node.name, emitter.mirrored(tensor, shape) if len(shape) == 4 else tensor, natural_form(shape)
            )
            continue
        if type(node.op) not in LOWERINGS:
            raise ModelRefusedError(
                f"{node.name} ({node.op.kind}) has no TFLite form: run the deployment passes on the graph first"
            )
        if isinstance(node.op, Sign) and not _read_as_sign(emitter, node):
            continue
        LOWERINGS[type(node.op)](emitter, node)
    results = []
    for name in graph.outputs:
        emitter.begin(graph[name])
        results.append(emitter.finish(name))
    return results


def _read_as_sign(emitter: Emitter, node: Node) -> bool:
    """Whether anything but binary layers, which emit the signs they need, reads this sign."""
    readers = emitter.graph.consumers(node.name)
    return node.name in emitter.graph.outputs or not all(
        isinstance(reader.op, BinaryConv2d | BinaryLinear) for reader in readers
    )
