from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper

from fdabnn_onnx.runtime import onnx_file
from fdabnn_onnx.runtime.onnx_file import DamagedError


@pytest.fixture(scope="module")
def model() -> ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 300])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 300])
    nodes = [
        helper.make_node("Neg", ["x"], ["inner"]),
        helper.make_node("Dropout", ["inner"], ["ä" * 200, ""]),
        helper.make_node("Abs", ["inner"], ["y"]),
    ]
    weight = helper.make_tensor(
        "w", TensorProto.FLOAT, [300], np.arange(300, dtype=np.float32).tobytes(), raw=True
    )
    made = helper.make_model(helper.make_graph(nodes, "g", [value], [output], [weight]))
    helper.set_model_props(made, {"sign": "x < 0 ? -1 : +1", "classes": '["Käfer"]', "empty": ""})
    return made


def test_names_and_metadata_as_the_onnx_package_reads_them(model: ModelProto) -> None:
    content = model.SerializeToString()
    assert onnx_file.metadata(content) == {entry.key: entry.value for entry in model.metadata_props}
    assert onnx_file.computed_tensors(content) == ["inner", "ä" * 200, "y"]


def test_the_domains_of_the_operators(model: ModelProto) -> None:
    assert onnx_file.domains(model.SerializeToString()) == {""}
    several = ModelProto()
    several.CopyFrom(model)
    several.opset_import.append(helper.make_opsetid("fdabnn", 1))
    assert onnx_file.domains(several.SerializeToString()) == {"", "fdabnn"}


def test_further_outputs_are_what_the_onnx_package_finds(model: ModelProto) -> None:
    content = onnx_file.with_outputs(model.SerializeToString(), ["inner", "ä" * 200])
    read = onnx.load_model_from_string(content)
    assert [value.name for value in read.graph.output] == ["y", "inner", "ä" * 200]
    assert read.graph.node == model.graph.node
    assert read.graph.initializer == model.graph.initializer


def test_every_truncation_is_found_or_leaves_whole_fields(model: ModelProto) -> None:
    content = model.SerializeToString()
    for size in range(len(content)):
        try:
            onnx_file.metadata(content[:size])
        except DamagedError:
            continue
        onnx.load_model_from_string(content[:size])


def test_random_damage_is_read_or_refused(model: ModelProto) -> None:
    content = model.SerializeToString()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(1000):
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] = int(rng.integers(256))
        try:
            onnx_file.metadata(bytes(damaged))
            onnx_file.computed_tensors(bytes(damaged))
        except DamagedError:
            refused += 1
    assert 0 < refused < 1000


@pytest.mark.parametrize(
    "content", [b"\x80", b"\xff" * 20, b"\x0a\x05ab", b"\x00\x00", b"\x0b", b"\x09\x00", b"not an onnx file"]
)
def test_what_is_no_message(content: bytes) -> None:
    with pytest.raises(DamagedError):
        onnx_file.metadata(content)
