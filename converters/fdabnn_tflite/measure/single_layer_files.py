"""Single layers of a TFLite file, each in a file of its own.

XNNPACK takes the float operators of a model together and shows none of them, so the times of a float layer with it can only be had from a
file with nothing else in it. A layer that is compared with it is measured in the same way.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from fdabnn_tflite.runtime.pack import pack_tflite
from fdabnn_tflite.runtime.tflite_file import FLOAT32


def cut(content: bytes, operators: Sequence[int]) -> bytes | None:
    """A file of some operators of a file, which run one after the other.

    Args:
        content: of a sound file.
        operators: their indices in the main subgraph, rising.

    Returns:
        The file: its inputs are what these operators read from others, its outputs what the last one writes; None where these are not
        float32.
    """
    # Comes with LiteRT, without type information.
    schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    graph = model.subgraphs[0]
    graph.operators = [graph.operators[i] for i in operators]
    written = {int(tensor) for operator in graph.operators for tensor in operator.outputs}
    read = [int(tensor) for operator in graph.operators for tensor in operator.inputs if tensor >= 0]
    constants = {t for t in read if model.buffers[graph.tensors[t].buffer].data is not None}
    graph.inputs = list(dict.fromkeys(t for t in read if t not in written | constants))
    graph.outputs = [int(tensor) for tensor in graph.operators[-1].outputs]
    if any(graph.tensors[t].type != FLOAT32 for t in (*graph.inputs, *graph.outputs)):
        return None
    kept = {graph.tensors[t].buffer for t in constants}
    for i, buffer in enumerate(model.buffers):
        if i not in kept:
            buffer.data = None
    used = written | set(read)
    places = {tensor: place for place, tensor in enumerate(sorted(used))}
    graph.tensors = [graph.tensors[tensor] for tensor in sorted(used)]
    graph.inputs, graph.outputs = ([places[t] for t in each] for each in (graph.inputs, graph.outputs))
    for operator in graph.operators:
        operator.inputs = [places[int(t)] if t >= 0 else -1 for t in operator.inputs]
        operator.outputs = [places[int(t)] for t in operator.outputs]
    model.subgraphs, model.signatureDefs = [graph], None
    model.metadata = model.metadataBuffer = None
    return pack_tflite(model, schema)
