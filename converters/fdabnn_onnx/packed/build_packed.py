"""A deployed graph as an ONNX model with packed operators: its composites become operators of the domain `fdabnn`.

What has no packed form is written as the standard operators that it stands for.
"""

from __future__ import annotations

from onnx import ModelProto, helper

from fdabnn_deploy.ir.composites import BinaryBlock, ExactLayer, decompose
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import RoundToGrid
from fdabnn_deploy.transforms.binary_blocks import binary_blocks
from fdabnn_onnx.build_model import finish_model, lower_node
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.packed.binary_layer import BlockWriter
from fdabnn_onnx.packed.exact_layer import borders_inside, pixels_inside, write_exact_layer
from fdabnn_onnx.packed.fixed_point import limits_inside, write_rounding
from fdabnn_onnx.packed.operator_domain import DOMAIN, VERSION


def build_packed(graph: Graph, info: ModelInfo, batch: int | None, *, integers: bool = True) -> ModelProto:
    """Writes a graph with packed operators; arguments and errors as `fdabnn_onnx.build_model.build_model`.

    Returns:
        A model of the same inputs and outputs; float tensors between layers keep their names.
    """
    blocks = binary_blocks(graph).graph
    emitter = Emitter(decompose(blocks), channels_last=info.layout == "nhwc", integers=integers)
    writer, limits = BlockWriter(emitter, blocks), limits_inside(blocks)
    borders = borders_inside(blocks)
    pixels = pixels_inside(blocks)
    inside = {node.name for node in (*limits.values(), *borders.values())} | _behind_pixels(blocks, pixels)
    places = {name: _channels_first(emitter, blocks, source) for name, source in pixels.items()}
    for node in blocks:
        if node.name in inside:
            continue
        if isinstance(node.op, BinaryBlock):
            writer.write(node, node.op)
        elif isinstance(node.op, ExactLayer):
            write_exact_layer(emitter, node, node.op, borders.get(node.name), places.get(node.inputs[0], ""))
        elif isinstance(node.op, RoundToGrid):
            write_rounding(emitter, node, node.op, limits.get(node.name))
        else:
            lower_node(emitter, node)
    model = finish_model(emitter, info, batch)
    model.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    return model


def _behind_pixels(graph: Graph, pixels: dict[str, str]) -> set[str]:
    """The nodes between pixels and what layers read of them."""
    found = set()
    for read, source in pixels.items():
        name = read
        while name != source:
            found.add(name)
            name = graph[name].inputs[0]
    return found


def _channels_first(to: Emitter, graph: Graph, name: str) -> str:
    """An input of bytes as [N, C, H, W]."""
    if not to.channels_last:
        return name
    return to.emit("Transpose", graph[name], [name], part="channels_first", perm=[0, 3, 1, 2])
