from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fdabnn_deploy.conformance import network
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.measure.profiles.whole_model import whole_model
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter

INFO = ModelInfo("network", (3, 9, 9), mean=(0.5, 0.25, 0.125), std=(1, 1, 1))


def test_a_file_whose_data_stand_beside_it_becomes_one(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "scale"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(np.arange(1, 5, dtype=np.float32).reshape(1, 4), "scale")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content = model.SerializeToString()
    path = tmp_path / "a.onnx"
    onnx.save(model, path, save_as_external_data=True, location="a.data", size_threshold=0)
    whole = whole_model(path, tmp_path / "whole", ignore_checksum=False)
    assert whole.read_bytes() == content
    assert whole_model(whole, tmp_path / "again", ignore_checksum=False) == whole
    assert not (tmp_path / "again").exists()


@pytest.mark.runtimes
def test_a_changed_file_is_refused_unless_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    find_converter("onnx").convert(network(), INFO, path, ConvertOptions())
    assert whole_model(path, tmp_path, ignore_checksum=False) == path
    path.write_bytes(path.read_bytes().replace(b"[0.5, 0.25, 0.125]", b"[0.5, 0.25, 0.126]"))
    with pytest.raises(
        ModelRefusedError, match=r"a\.onnx has changed since it was exported.*--ignore-checksum"
    ):
        whole_model(path, tmp_path, ignore_checksum=False)
    assert whole_model(path, tmp_path, ignore_checksum=True) == path


def test_what_is_no_model_is_left_to_who_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"no model")
    assert whole_model(path, tmp_path, ignore_checksum=False) == path
