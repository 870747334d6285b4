"""Turns what LCE's converter wrote into the finished file: the graph's tensor names and order, metadata, checksum.

Only names, the order of inputs and outputs, and metadata change; operators and constants are written back as they were.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np

from fdabnn_deploy.graph import Graph, Node
from fdabnn_deploy.ops import BATCH, BinaryConv2d, BinaryLinear, Conv2d, Linear, Shape, Sign
from fdabnn_deploy.runtimes.tflite_file import (
    DIGEST_KEY,
    FLOAT32,
    IDENTIFIER,
    INT32,
    TENSORS_KEY,
    digest,
    digest_place,
)
from fdabnn_tflite.emitter import Emitter, op_names
from fdabnn_tflite.layout import Form, Layout, natural_form, stored_shape
from fdabnn_tflite.saved_model import INPUT, OUTPUT

_SLOTS = {
    "LceBconv2d": ("input", "weight", "multiplier", "bias", "threshold"),
    "CONV_2D": ("input", "weight", "bias"),
    "DEPTHWISE_CONV_2D": ("input", "weight", "bias"),
    "FULLY_CONNECTED": ("input", "weight", "bias"),
}


def finish_file(data: bytes, emitter: Emitter, metadata: dict[str, str]) -> bytes:
    """Finishes a file; see the module.

    Args:
        data: as LCE's converter wrote it.
        emitter: that lowered the graph.
        metadata: keys and texts to write beside those of this module.

    Returns:
        The finished file.
    """
    from larq_compute_engine.mlir.python import tflite_schema as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    main = model.subgraphs[0]
    _order_signature(model, emitter.graph)
    places = _find_places(model, main, emitter)
    names = _names(model, main, emitter, places, schema)
    for tensor, name in zip(main.tensors, names, strict=True):
        tensor.name = name
    entries = dict(metadata)
    entries[TENSORS_KEY] = _tensor_map(main, names, emitter, places)
    entries[DIGEST_KEY] = "0" * 64
    for key in sorted(entries):
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(entries[key].encode(), dtype=np.uint8)
        entry = schema.MetadataT()
        entry.name, entry.buffer = key, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]
    packed = bytearray(_pack(model))
    place = digest_place(bytes(packed))
    assert place is not None
    packed[place : place + 64] = digest(bytes(packed), place)
    return bytes(packed)


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name or "")


def _order_signature(model: Any, graph: Graph) -> None:
    """Puts inputs and outputs into the graph's order and gives them the graph's names."""
    signature, main = model.signatureDefs[0], model.subgraphs[0]
    inputs = {_text(entry.name): entry for entry in signature.inputs}
    outputs = {_text(entry.name): entry for entry in signature.outputs}
    signature.inputs = [inputs[INPUT.format(i)] for i in range(len(graph.inputs))]
    signature.outputs = [outputs[OUTPUT.format(i)] for i in range(len(graph.outputs))]
    for entries, names in ((signature.inputs, graph.inputs), (signature.outputs, graph.outputs)):
        for entry, name in zip(entries, names, strict=True):
            entry.name = name
    main.inputs = [entry.tensorIndex for entry in signature.inputs]
    main.outputs = [entry.tensorIndex for entry in signature.outputs]
    main.name = "main"


def _fits(tensor: Any, shape: Shape) -> bool:
    stored = [int(size) for size in tensor.shape] if tensor.shape is not None else []
    return len(stored) == len(shape) and all(
        want in (BATCH, have) for have, want in zip(stored, shape, strict=True)
    )


def _find_places(model: Any, main: Any, emitter: Emitter) -> dict[str, tuple[int, Form]]:
    """Which tensor of the graph is which computed tensor of the file, and how it lies there.

    Later operators win: a sign that was moved in front of a max-pool has the name of the sign behind it, too.
    """
    places: dict[str, tuple[int, Form]] = {}
    for operator in main.operators:
        for index in operator.outputs:
            tensor = main.tensors[index]
            ops = op_names(_text(tensor.name))
            for name, form in emitter.places.get(ops[-1], []) if ops else ():
                shape = stored_shape(emitter.graph.shape(name), form)
                if tensor.type == FLOAT32 and _fits(tensor, shape):
                    places[name] = (int(index), form)
                elif (
                    tensor.type == INT32
                    and name not in _float_signs(places, main)
                    and isinstance(emitter.graph[name].op, Sign)
                    and len(shape) == 4
                    and _fits(tensor, (*shape[:3], -(-shape[3] // 32)))
                ):
                    places[name] = (int(index), Form(Layout.PACKED, form.image))
    for name, index in zip(emitter.graph.outputs, main.outputs, strict=True):
        places.setdefault(name, (int(index), natural_form(emitter.graph.shape(name))))
    return places


def _float_signs(places: dict[str, tuple[int, Form]], main: Any) -> set[str]:
    return {name for name, (index, _) in places.items() if main.tensors[index].type == FLOAT32}


def _names(
    model: Any, main: Any, emitter: Emitter, places: dict[str, tuple[int, Form]], schema: Any
) -> list[str]:
    """A readable name for every tensor: the graph's where it is a tensor of the graph, else `<node>/<role>`."""
    names: list[str] = [""] * len(main.tensors)
    for name, index in zip(emitter.graph.inputs, main.inputs, strict=True):
        names[index] = name
    for name, index in zip(emitter.graph.outputs, main.outputs, strict=True):
        names[index] = names[index] or name
    for name, (index, _) in places.items():
        names[index] = names[index] or (name if name not in names else "")
    kinds = {value: key for key, value in vars(schema.BuiltinOperator).items() if not key.startswith("_")}
    for operator in main.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = _text(code.customCode) or kinds[max(code.deprecatedBuiltinCode, code.builtinCode)]
        owner = _owner(main, operator, emitter)
        slots = _SLOTS.get(kind, ())
        for i, index in enumerate(operator.inputs):
            if index >= 0 and not names[index]:
                names[index] = f"{owner}/{slots[i] if i < len(slots) else 'constant'}"
        for index in operator.outputs:
            names[index] = names[index] or f"{owner}/{kind.lower()}"
    taken: Counter[str] = Counter()
    for i, name in enumerate(names):
        unique = name or "unused"
        taken[unique] += 1
        names[i] = unique if taken[unique] == 1 else f"{unique}_{taken[unique] - 1}"
    return names


def _owner(main: Any, operator: Any, emitter: Emitter) -> str:
    """The graph node that an operator of the file belongs to: of merged nodes the one with weights, else the last."""
    nodes: list[Node] = []
    for index in operator.outputs:
        names = op_names(_text(main.tensors[index].name))
        nodes += [emitter.owners[name] for name in names if name in emitter.owners]
        if not nodes and index in main.outputs:
            nodes.append(emitter.graph[emitter.graph.outputs[list(main.outputs).index(index)]])
    weighted = [node for node in nodes if isinstance(node.op, BinaryConv2d | BinaryLinear | Conv2d | Linear)]
    return (weighted or nodes)[-1].name if nodes else "file"


def _tensor_map(main: Any, names: list[str], emitter: Emitter, places: dict[str, tuple[int, Form]]) -> str:
    graph = emitter.graph

    def entry(name: str, index: int, form: Form, flipped: bool) -> dict[str, Any]:
        return {
            "name": name,
            "tensor": index,
            "shape": list(graph.shape(name)[1:]),
            "layout": form.layout.value,
            "image": list(form.image),
            "flipped": flipped,
        }

    inputs = [
        entry(name, int(index), natural_form(graph.shape(name)), False)
        for name, index in zip(graph.inputs, main.inputs, strict=True)
    ]
    outputs = [
        entry(name, int(index), natural_form(graph.shape(name)), False)
        for name, index in zip(graph.outputs, main.outputs, strict=True)
    ]
    exposed = {entry["tensor"]: entry for entry in outputs}
    tensors = []
    for node in graph:
        if node.name in places:
            index, form = places[node.name]
            flipped = emitter.flipped and not (index in exposed and exposed[index]["name"] == node.name)
            tensors.append(entry(node.name, index, form, flipped))
    text = {"flipped": emitter.flipped, "inputs": inputs, "outputs": outputs, "tensors": tensors}
    return json.dumps(text, separators=(",", ":"))


def _pack(model: Any) -> bytes:
    """Serialises; constants begin at multiples of 16 bytes, as the schema demands and Python's builder does not know."""
    # Comes with TensorFlow, without type information.
    import flatbuffers  # type: ignore[import-untyped]

    builder = flatbuffers.Builder(1 << 20)
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.Pack = _AlignedPack(buffer)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


class _AlignedPack:
    """Replaces `BufferT.Pack`."""

    def __init__(self, buffer: Any) -> None:
        self._buffer = buffer

    def __call__(self, builder: Any) -> Any:
        from larq_compute_engine.mlir.python import tflite_schema as schema

        data = np.asarray(self._buffer.data, dtype=np.uint8)
        builder.StartVector(1, data.size, 16)
        builder.head -= data.size
        builder.Bytes[builder.head : builder.head + data.size] = data.tobytes()
        vector = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)
