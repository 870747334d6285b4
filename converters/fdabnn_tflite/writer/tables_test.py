"""Tables under construction: constants and tensors that a file cannot hold are refused."""

from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_tflite import format_limits
from fdabnn_tflite.writer import write_flatbuffer
from fdabnn_tflite.writer.tables import Tables

pytestmark = pytest.mark.runtimes


def test_constants_are_counted_until_the_file_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_limits, "FILE_BYTES", 1000)
    tables = Tables(resizable=False)
    for i in (0, 0, 1):
        tables.constant(np.full(100, i, np.float32), f"layer{i}/weight")
    with pytest.raises(ModelRefusedError, match=r"layer2/weight: .* 1200 bytes, .* at most 1000"):
        tables.constant(np.full(100, 2, np.float32), "layer2/weight")


def test_a_constant_larger_than_a_file_is_not_copied() -> None:
    values = np.broadcast_to(np.float32(0), (2**16, 2**14))
    with pytest.raises(ModelRefusedError, match=r"fc/weight: .* 4294967296 bytes"):
        Tables(resizable=False).constant(values, "fc/weight")


def test_tensors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format_limits, "LARGEST", 2)
    tables = Tables(resizable=False)
    tables.tensor((1, 4), 0, "x")
    tables.constant(np.ones(4, np.float32), "y/constant")
    with pytest.raises(ModelRefusedError, match="more than 2 tensors"):
        tables.tensor((1, 4), 0, "y")


def test_a_tensor_that_only_the_file_has_is_refused_with_its_layer() -> None:
    """Rows of padding that strides pass over: neither the layer's numbers nor its result are too large, but its padded image is."""
    conv = ops.Conv2d(np.ones((2, 4, 1, 1), np.float32), stride=(2**30, 1), padding=(2**30, 0))
    nodes = [Node("x", ops.Input((4, 8, 8))), Node("y", conv, ("x",), "stem")]
    with pytest.raises(ModelRefusedError, match=r"y \(Conv2d in stem\): a tensor of 1x2147483649x8x4"):
        write_flatbuffer(Graph(nodes, ["y"]), False, 1, ModelInfo("padded", (4, 8, 8)))
