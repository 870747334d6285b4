from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Add, PRelu, Relu
from fdabnn_deploy.measure.baselines import small_files_testing as small
from fdabnn_deploy.transforms.pass_testing import Build
from fdabnn_onnx.measure import float_onnx

pytestmark = pytest.mark.runtimes

onnx = pytest.importorskip("onnx")


def file(folder: Path, slope: Any) -> Path:
    build = Build(3, 8, 8)
    y = build(PRelu(slope), build(small.conv(3, 6, stride=2), "x"))
    return small.write(build.graph(build(Relu(), build(Add(), y, y))), folder / "model.onnx")


def test_a_network_that_no_rule_touched_is_the_file(tmp_path: Path) -> None:
    path = file(tmp_path, np.linspace(0.1, 0.5, 6, dtype=np.float32))
    again = small.write_network(small.read_network(path), path, tmp_path / "again.onnx")
    assert small.operators(again) == small.operators(path) == Counter(Conv=1, PRelu=1, Add=1, Relu=1)
    x = small.floats(2, 3, 8, 8)
    assert np.array_equal(small.run(again, x)[0], small.run(path, x)[0])


def test_a_prelu_of_one_slope_is_a_leaky_relu(tmp_path: Path) -> None:
    path = file(tmp_path, np.array(0.25, dtype=np.float32))
    again = small.write_network(small.read_network(path), path, tmp_path / "again.onnx")
    assert small.operators(again) == Counter(Conv=1, LeakyRelu=1, Add=1, Relu=1)
    x = small.floats(2, 3, 8, 8)
    assert np.array_equal(small.run(again, x)[0], small.run(path, x)[0])


def test_outputs_keep_their_names(tmp_path: Path) -> None:
    path = file(tmp_path, np.array(0.25, dtype=np.float32))
    network = small.read_network(path)
    (name,) = network.outputs
    network.aliases[name] = network.items[0].step.output
    network.drop_dead()
    model = onnx.load(small.write_network(network, path, tmp_path / "again.onnx"))
    assert [node.op_type for node in model.graph.node] == ["Conv", "Identity"]
    assert model.graph.output[0].name == name


def test_constants_of_nodes_are_kept(tmp_path: Path) -> None:
    helper, path = onnx.helper, tmp_path / "model.onnx"
    two = onnx.numpy_helper.from_array(np.array(2, dtype=np.float32), "two")
    nodes = [
        helper.make_node("Constant", [], ["two"], value=two),
        helper.make_node("Mul", ["x", "two"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3]) for name in "xy"]
    # As old files do, it lists a constant among the inputs.
    three = onnx.numpy_helper.from_array(np.array([3, 3, 3], dtype=np.float32), "three")
    nodes.insert(1, helper.make_node("Add", ["x", "three"], ["z"]))
    nodes[2].input[0] = "z"
    listed = helper.make_tensor_value_info("three", onnx.TensorProto.FLOAT, [3])
    graph = helper.make_graph(nodes, "constant", [values[0], listed], values[1:], [three])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    again = small.write_network(small.read_network(path), path, tmp_path / "again.onnx")
    assert [node.op_type for node in onnx.load(again).graph.node] == ["Add", "Mul"]
    x = small.floats(1, 3)
    assert np.array_equal(small.run(again, x)[0], 2 * (x + 3))


def test_files_that_onnx_runtime_does_not_take_are_refused() -> None:
    with pytest.raises(ModelRefusedError, match="ONNX Runtime does not take the model"):
        float_onnx.load_model(b"no model")
