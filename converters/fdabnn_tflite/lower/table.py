"""The walk over the graph that lowers it node by node."""

from __future__ import annotations

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear, Input, Sign
from fdabnn_tflite.emitter import Emitter, Tensor
from fdabnn_tflite.lower import LOWERINGS
from fdabnn_tflite.tensor_layout import natural_form


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
        LOWERINGS[type(node.op)](emitter, node, node.op)
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
