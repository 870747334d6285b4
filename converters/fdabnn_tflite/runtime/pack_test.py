from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_tflite.runtime.flatbuffer import root
from fdabnn_tflite.runtime.pack import pack_tflite
from fdabnn_tflite.runtime.tflite_file import parse_tflite

pytestmark = pytest.mark.runtimes


@pytest.fixture
def schema() -> Any:
    pytest.importorskip("ai_edge_litert")
    return importlib.import_module("ai_edge_litert.schema_py_generated")


def test_constants_begin_at_multiples_of_16(schema: Any) -> None:
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    model.buffers, graph.tensors = [schema.BufferT()], []
    graph.inputs, graph.outputs, graph.operators = [], [], []
    contents = [bytes(range(size)) for size in (4, 12, 20, 64, 100)]
    for content in contents:
        buffer, tensor = schema.BufferT(), schema.TensorT()
        buffer.data = np.frombuffer(content, dtype=np.uint8)
        tensor.shape, tensor.type, tensor.buffer = [len(content)], schema.TensorType.INT8, len(model.buffers)
        tensor.name = f"constant of {len(content)}"
        model.buffers.append(buffer)
        graph.tensors.append(tensor)
    data = pack_tflite(model, schema)
    assert [tensor.name for tensor in parse_tflite(data).tensors] == [
        f"constant of {len(c)}" for c in contents
    ]
    spans = [buffer.span(0, 1) for buffer in root(data, b"TFL3").tables(4)]
    found = [span for span in spans if span]
    assert [data[begin : begin + size] for begin, size in found] == contents
    assert all(begin % 16 == 0 for begin, _ in found)


def test_a_file_that_flatbuffers_cannot_hold_is_refused(schema: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    flatbuffers = pytest.importorskip("flatbuffers")
    monkeypatch.setattr(flatbuffers.Builder, "MAX_BUFFER_SIZE", 1 << 20)
    model = schema.ModelT()
    model.buffers, model.description = [], "x" * (1 << 21)
    with pytest.raises(ModelRefusedError, match="more than 1048576 bytes"):
        pack_tflite(model, schema)
