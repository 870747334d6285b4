"""A deployed graph as an ONNX model, in memory: opset 17 and IR version 8, which runtimes since 2022 read."""

from __future__ import annotations

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.composites import decompose
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import BATCH, Input
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower import LOWERINGS
from fdabnn_onnx.metadata import write_metadata

OPSET = 17
IR_VERSION = 8
DYNAMIC_BATCH = "N"


def build_model(graph: Graph, info: ModelInfo, batch: int | None, *, integers: bool = True) -> ModelProto:
    """Lowers a deployed graph operator by operator.

    Args:
        graph: its operators are all in `fdabnn_deploy.ir.ops.DEPLOYED`, or composites of such.
        info: goes into the metadata; its name becomes the name of the ONNX graph.
        batch: the first dimension of every input and output, or None for a dimension called "N".
        integers: whether weights that are integers of few bits are stored so.

    Returns:
        A model whose tensors have the names of the graph's; its `value_info` lists exactly the graph's inner tensors.

    Raises:
        ModelRefusedError: an operator has no form in ONNX here.
    """
    standard = decompose(graph)
    emitter = Emitter(standard, channels_last=info.layout == "nhwc", integers=integers)
    for node in standard:
        lower_node(emitter, node)
    return finish_model(emitter, info, batch)


def lower_node(to: Emitter, node: Node) -> None:
    """Writes what a node computes as standard operators; an input is none.

    Raises:
        ModelRefusedError: the operator has no form in ONNX here.
    """
    if isinstance(node.op, Input):
        return
    lowering = LOWERINGS.get(type(node.op))
    if lowering is None:
        where = f" ({node.source})" if node.source else ""
        raise ModelRefusedError(
            f"{node.name}{where}: the operator {node.op.kind} is not a deployed one and has no ONNX form here: "
            "the passes that lead to a deployed graph have to replace it"
        )
    lowering(to, node, node.op)


def finish_model(emitter: Emitter, info: ModelInfo, batch: int | None) -> ModelProto:
    """The model of all nodes that were emitted; arguments as `build_model`."""
    graph = emitter.graph
    outputs = [_output(emitter, i) for i in range(len(graph.outputs))]
    outer = {*graph.inputs, *graph.outputs}
    made = {name for node in emitter.nodes for name in node.output}
    inner = [node.name for node in graph if node.name in made and node.name not in outer]
    model = helper.make_model(
        helper.make_graph(
            emitter.nodes,
            info.name,
            [_input(emitter, name, batch) for name in graph.inputs],
            [
                _value(output, graph.shape(name), batch)
                for output, name in zip(outputs, graph.outputs, strict=True)
            ],
            emitter.initializers,
            value_info=[_value(name, graph.shape(name), batch) for name in inner],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fdabnn-deploy",
    )
    write_metadata(model, info)
    return model


def _output(emitter: Emitter, position: int) -> str:
    """The ONNX output for a graph output; ONNX wants each made by a node and listed once."""
    graph = emitter.graph
    name = graph.outputs[position]
    if name not in graph.inputs and name not in graph.outputs[:position]:
        return name
    copy = emitter.fresh("output" if len(graph.outputs) == 1 else f"output_{position}")
    emitter.nodes.append(helper.make_node("Identity", [name], [copy], name=copy))
    return copy


def _input(emitter: Emitter, name: str, batch: int | None) -> ValueInfoProto:
    op, shape = emitter.graph[name].op, emitter.graph.shape(name)
    if not (isinstance(op, Input) and op.pixels):
        return _value(name, shape, batch)
    if emitter.channels_last:
        shape = (shape[0], *shape[2:], shape[1])
    value = _value(name, shape, batch)
    value.type.tensor_type.elem_type = TensorProto.UINT8
    return value


def _value(name: str, shape: tuple[int, ...], batch: int | None) -> ValueInfoProto:
    first: int | str = DYNAMIC_BATCH if batch is None else batch
    return helper.make_tensor_value_info(
        name, TensorProto.FLOAT, [first if dim == BATCH else dim for dim in shape]
    )
