from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.prove.program import Step
from fdabnn_onnx.prove.onnx import read_onnx

onnx = pytest.importorskip("onnx")
helper = onnx.helper


def step(op: str, constants: dict[str, Any], domain: str = "", **attributes: Any) -> Step:
    """The neutral form of one node that reads `x` and these constants."""
    node = helper.make_node(op, ["x", *constants], ["y"], domain=domain, **attributes)
    shape = [1, 4, 6, 6]
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(values), name) for name, values in constants.items()],
    )
    program = read_onnx(helper.make_model(graph).SerializeToString())
    assert program.inputs == {"x": (1, 4, 6, 6)}
    (only,) = program.steps
    return only


def test_convolution() -> None:
    weight = np.arange(48, dtype=np.float32).reshape(6, 2, 2, 2)
    found = step("Conv", {"w": weight}, group=2, pads=[1, 0, 2, 0], strides=[2, 1])
    assert found.kind == "linear"
    assert np.array_equal(found.attributes["weight"], weight.reshape(6, 2, 4))
    assert found.attributes["windows"].pads == ((1, 2), (0, 0))
    assert found.attributes["groups"] == 2


def test_fused_convolution() -> None:
    weight = np.ones((1, 4, 1, 1), dtype=np.float32)
    found = step(
        "FusedConv", {"w": weight}, "com.microsoft", activation="LeakyRelu", activation_params=[0.25]
    )
    assert found.activation == 0.25
    refused = step("FusedConv", {"w": weight}, "com.microsoft", activation="Tanh")
    assert refused.kind == "unknown"
    assert "Tanh" in refused.attributes["reason"]


def test_dense_layers() -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(step("Gemm", {"w": weight}, transB=1).attributes["weight"][..., 0], weight)
    assert np.array_equal(step("MatMul", {"w": weight}).attributes["weight"][..., 0], weight.T)
    assert step("Gemm", {"w": weight}, alpha=0.5).kind == "unknown"


@pytest.mark.parametrize("op", ["Div", "BatchNormalization", "Softmax", "HardSwish", "NoSuchOperator"])
def test_operators_without_a_proof(op: str) -> None:
    found = step(op, {})
    assert (found.kind, found.op) == ("unknown", op)


def test_other_domains_are_unknown() -> None:
    assert step("Add", {"c": np.float32(1)}, "my.domain").kind == "unknown"


def test_parameters_that_are_computed_are_refused() -> None:
    found = step("Clip", {"low": np.float32(-1), "high": np.float32(2)})
    assert found.attributes == {"low": -1.0, "high": 2.0}
    assert step("Slice", {"b": np.array([1]), "e": np.array([3]), "a": np.array([2])}).attributes == {
        "axes": [2],
        "ranges": [(1, 3, 1)],
    }
    assert step("MaxPool", {}, kernel_shape=[2, 2], ceil_mode=1).kind == "unknown"


def test_only_neighbours_that_all_runtimes_choose_alike_are_read() -> None:
    scales = {"roi": np.zeros(0, dtype=np.float32), "scales": np.array([1, 1, 2, 3], dtype=np.float32)}
    floor = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    found = step("Resize", scales, mode="nearest", **floor)
    assert (found.kind, found.inputs) == ("enlarge", ("x",))
    assert found.attributes == {"axes": [0, 1, 2, 3], "factors": [1, 1, 2, 3]}
    assert step("Resize", scales, mode="linear", **floor).kind == "unknown"
    assert step("Resize", scales, mode="nearest", **{**floor, "nearest_mode": "ceil"}).kind == "unknown"
    assert step("Resize", scales, mode="nearest").kind == "unknown"


def test_both_orders_of_channels_in_blocks_are_read() -> None:
    for mode, neighbours in (("CRD", True), ("DCR", False)):
        found = step("DepthToSpace", {}, blocksize=2, mode=mode)
        assert found.attributes == {"factor": 2, "axis": 1, "neighbours": neighbours}
