"""Turns what LCE's converter wrote into the finished file: the graph's tensor names and order, metadata, checksum.

Only names, the order of inputs and outputs, and metadata change; operators and constants are written back as they were, but for constants
that the converter has made operators of. What the
converter's text depends on beside its input (names of TensorFlow functions, counters) is replaced, so equal graphs give equal files.
"""

from __future__ import annotations

import math
from collections import Counter
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import BATCH, BinaryConv2d, BinaryLinear, Conv2d, Linear, Shape, Sign
from fdabnn_tflite.emitter import Emitter
from fdabnn_tflite.runtime.pack import pack_tflite
from fdabnn_tflite.runtime.tensors import TENSORS_KEY, Layout, TensorMap, TensorPlace
from fdabnn_tflite.runtime.tflite_file import DIGEST_KEY, FLOAT32, INT32, digest, digest_place
from fdabnn_tflite.saved_model import INPUT, OUTPUT
from fdabnn_tflite.standard_metadata import KEY, standard_metadata
from fdabnn_tflite.tensor_layout import Form, natural_form, stored_shape
from fdabnn_tflite.tensorflow_emitter import op_names

ROLES = {
    "LceBconv2d": ("input", "weight", "multiplier", "bias", "threshold"),
    "CONV_2D": ("input", "weight", "bias"),
    "DEPTHWISE_CONV_2D": ("input", "weight", "bias"),
    "FULLY_CONNECTED": ("input", "weight", "bias"),
    "PRELU": ("input", "slope"),
}
"""Names of an operator's inputs where they are constants; all others are called `constant`."""


def finish_file(data: bytes, emitter: Emitter, info: ModelInfo, resizable: bool = False) -> bytes:
    """Finishes a file; see the module.

    Args:
        data: as LCE's converter wrote it.
        emitter: that lowered the graph.
        info: of the model: its name, which viewers show as the file's description, and its metadata.
        resizable: whether to mark the batch dimension as free, and to free it in the constants of reshapes: the converter moves
            dimensions of size 1 by a reshape to a constant shape, batch 1 included.

    Returns:
        The finished file.
    """
    from larq_compute_engine.mlir.python import tflite_schema as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    main = model.subgraphs[0]
    _fold_fills(model, schema)
    _order_signature(model, emitter.graph)
    places = _find_places(main, emitter)
    if resizable:
        _free_reshapes(model, schema)
    for tensor, tensor_name in zip(main.tensors, _names(model, emitter, places, schema), strict=True):
        tensor.name = tensor_name
        if resizable and model.buffers[tensor.buffer].data is None and tensor.shape is not None:
            tensor.shapeSignature = np.array([BATCH, *tensor.shape[1:]], dtype=np.int32)
    return finished_bytes(model, schema, info, emitter.graph, tensor_map(main, emitter, places))


def finished_bytes(model: Any, schema: Any, info: ModelInfo, graph: Graph, tensors: TensorMap) -> bytes:
    """The bytes of a model with its metadata and checksum.

    Args:
        model: a `ModelT`.
        schema: the generated module that it comes from.
        info: of the model.
        graph: that the model computes.
        tensors: how its tensors lie in the model.
    """
    model.description = info.name
    texts = {**replace(info, layout="nhwc").metadata(), TENSORS_KEY: tensors.dumps(), DIGEST_KEY: "0" * 64}
    entries = {key: text.encode() for key, text in texts.items()}
    standard = standard_metadata(graph, info)
    if standard is not None:
        entries[KEY] = standard.content
    for key in sorted(entries):
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(entries[key], dtype=np.uint8)
        entry.name, entry.buffer = key, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]
    packed = pack_tflite(model, schema)
    if standard is not None:
        packed = standard.append_files(packed)
    place = digest_place(packed)
    assert place is not None
    return packed[:place] + digest(packed, place) + packed[place + 64 :]


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
        for entry, name in zip(entries, distinct(names), strict=True):
            entry.name = name
    main.inputs = [entry.tensorIndex for entry in signature.inputs]
    main.outputs = [entry.tensorIndex for entry in signature.outputs]
    main.name = "main"


def distinct(names: tuple[str, ...] | list[str]) -> list[str]:
    """The names, with a number behind those that stood before."""
    taken: Counter[str] = Counter()
    result = []
    for name in names:
        taken[name] += 1
        result.append(name if taken[name] == 1 else f"{name}_{taken[name] - 1}")
    return result


def _find_places(main: Any, emitter: Emitter) -> dict[str, tuple[int, Form]]:
    """Which tensor of the graph is which computed tensor of the file, and how it lies there.

    Of several candidates floats win over packed signs, and later operators over earlier ones: a sign that the converter moved in front
    of a max-pool has the name of the sign behind it, too.
    """
    places: dict[str, tuple[int, Form]] = {}
    for operator in main.operators:
        for index in map(int, operator.outputs):
            tensor = main.tensors[index]
            ops = op_names(_text(tensor.name))
            for name, form in emitter.places.get(ops[-1], []) if ops else ():
                shape = stored_shape(emitter.graph.shape(name), form)
                if tensor.type == FLOAT32 and _fits(tensor, shape):
                    places[name] = (index, form)
                elif tensor.type == INT32 and isinstance(emitter.graph[name].op, Sign) and len(shape) == 4:
                    is_float = name in places and places[name][1].layout is not Layout.PACKED
                    if not is_float and _fits(tensor, (*shape[:3], -(-shape[3] // 32))):
                        places[name] = (index, Form(Layout.PACKED, form.image))
    for name, index in zip(emitter.graph.outputs, main.outputs, strict=True):
        places.setdefault(name, (int(index), natural_form(emitter.graph.shape(name))))
    return places


def _fits(tensor: Any, shape: Shape) -> bool:
    stored = () if tensor.shape is None else tuple(map(int, tensor.shape))
    return stored[1:] == shape[1:] and len(stored) == len(shape)


def _names(model: Any, emitter: Emitter, places: dict[str, tuple[int, Form]], schema: Any) -> list[str]:
    """A readable name for every tensor: the graph's where it is a tensor of the graph, else `<node>/<role>`."""
    main, graph = model.subgraphs[0], emitter.graph
    known = [(name, int(index)) for name, index in zip(graph.inputs, main.inputs, strict=True)]
    known += [(name, int(index)) for name, index in zip(graph.outputs, main.outputs, strict=True)]
    known += [(name, index) for name, (index, _) in places.items()]
    names: dict[int, str] = {}
    for name, index in known:
        if name not in names.values():
            names.setdefault(index, name)
    kinds = {value: key for key, value in vars(schema.BuiltinOperator).items() if not key.startswith("_")}
    for operator in main.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        kind = _text(code.customCode) or kinds[max(code.deprecatedBuiltinCode, code.builtinCode)]
        owner = _owner(main, operator, emitter)
        roles = ROLES.get(kind, ())
        for i, index in enumerate(map(int, operator.inputs)):
            if index >= 0:
                names.setdefault(index, f"{owner}/{roles[i] if i < len(roles) else 'constant'}")
        for index in map(int, operator.outputs):
            names.setdefault(index, f"{owner}/{kind.lower()}")
    return distinct([names.get(index, "unused") for index in range(len(main.tensors))])


def _owner(main: Any, operator: Any, emitter: Emitter) -> str:
    """The graph node that an operator of the file belongs to: of merged nodes the one with weights, else the last."""
    nodes = []
    outputs = list(map(int, main.outputs))
    for index in map(int, operator.outputs):
        ops = op_names(_text(main.tensors[index].name))
        nodes += [emitter.owners[name] for name in ops if name in emitter.owners]
        if not ops and index in outputs:
            # The converter names the function's results after their place, not after their ops.
            nodes.append(emitter.graph[emitter.graph.outputs[outputs.index(index)]])
    weighted = [node for node in nodes if isinstance(node.op, BinaryConv2d | BinaryLinear | Conv2d | Linear)]
    return (weighted or nodes)[-1].name if nodes else "file"


def tensor_map(main: Any, emitter: Emitter, places: dict[str, tuple[int, Form]]) -> TensorMap:
    """How the graph's tensors lie in a subgraph, from the index and the form of each that it has."""
    graph = emitter.graph

    def natural(names: tuple[str, ...], indices: Any) -> tuple[TensorPlace, ...]:
        return tuple(
            TensorPlace(name, int(index), graph.shape(name)[1:], natural_form(graph.shape(name)).layout)
            for name, index in zip(names, indices, strict=True)
        )

    outputs = natural(graph.outputs, main.outputs)
    exposed = {(place.name, place.tensor): place for place in outputs}
    tensors = []
    for node in graph:
        if node.name in places:
            index, form = places[node.name]
            inner = TensorPlace(
                node.name, index, graph.shape(node.name)[1:], form.layout, form.image, emitter.flipped
            )
            tensors.append(exposed.get((node.name, index), inner))
    return TensorMap(natural(graph.inputs, main.inputs), outputs, tuple(tensors), emitter.flipped)


def _fold_fills(model: Any, schema: Any) -> None:
    """Writes constants out: of a large one whose values are all equal the converter makes a `FILL`, also where it is a filter.

    All weights of a binary layer may be positive, and runtimes read filters before they run anything.
    """
    main = model.subgraphs[0]
    kept = []
    for operator in main.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        inputs = [main.tensors[index] for index in operator.inputs]
        data = [model.buffers[tensor.buffer].data for tensor in inputs]
        is_fill = max(code.deprecatedBuiltinCode, code.builtinCode) == schema.BuiltinOperator.FILL
        if not is_fill or any(content is None for content in data):
            kept.append(operator)
            continue
        dims, value = (bytes(content) for content in data)
        shape = np.frombuffer(dims, dtype="<i4" if inputs[0].type == INT32 else "<i8")
        target, buffer = main.tensors[operator.outputs[0]], schema.BufferT()
        buffer.data = np.frombuffer(value * math.prod(shape.tolist()), dtype=np.uint8)
        target.buffer = len(model.buffers)
        model.buffers.append(buffer)
    main.operators = kept


def _free_reshapes(model: Any, schema: Any) -> None:
    """Every tensor of a graph begins with its batch, so a reshape to [1, ...] is one to [-1, ...]."""
    main = model.subgraphs[0]
    for operator in main.operators:
        code = model.operatorCodes[operator.opcodeIndex]
        if max(code.deprecatedBuiltinCode, code.builtinCode) != schema.BuiltinOperator.RESHAPE:
            continue
        tensor = main.tensors[operator.inputs[1]]
        data = model.buffers[tensor.buffer].data
        shape = np.array([BATCH]) if data is None else np.frombuffer(bytes(data), dtype="<i4").copy()
        if shape.size and shape[0] == 1 and BATCH not in shape:
            shape[0] = BATCH
            # Not in place: the same tensor may be the steps of a slice, and other constants may share the buffer.
            free, buffer = copy(tensor), schema.BufferT()
            free.buffer, buffer.data = len(model.buffers), np.frombuffer(shape.tobytes(), dtype=np.uint8)
            operator.inputs = np.array([operator.inputs[0], len(main.tensors)], dtype=np.int32)
            model.buffers.append(buffer)
            main.tensors.append(free)
