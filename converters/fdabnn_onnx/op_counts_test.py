from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from fdabnn_deploy.conformance import network
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.op_counts import count_ops


def test_the_network_of_all_operators() -> None:
    counts = count_ops(build_model(network(), ModelInfo("network", (3, 9, 9)), 1))
    assert counts["Conv (1-bit)"] == 2
    assert counts["Gemm (1-bit)"] == 1
    assert counts["Conv"] == 1
    assert counts["Gemm"] == 1
    # Three signs, and a saturation by two comparisons.
    assert (counts["Where"], counts["Less"], counts["Greater"]) == (3 + 2, 3 + 1, 1)
    assert list(counts) == sorted(counts)


def signs_times(weight: float, plus: float = 1.0, pad: float | None = None, bias: bool = False) -> ModelProto:
    constants = {"zero": 0.0, "minus": -1.0, "plus": plus, "pad": pad or 0.0}
    initializers = [numpy_helper.from_array(np.array(v, dtype=np.float32), k) for k, v in constants.items()]
    initializers += [
        numpy_helper.from_array(np.full((2, 3), weight, dtype=np.float32), "w"),
        numpy_helper.from_array(np.array([0, 0, 0, 1], dtype=np.int64), "pads"),
        numpy_helper.from_array(np.zeros(2, dtype=np.float32), "b"),
    ]
    nodes = [
        helper.make_node("Less", ["x", "zero"], ["less"]),
        helper.make_node("Where", ["less", "minus", "plus"], ["sign"]),
        helper.make_node("Pad", ["sign", "pads", "pad"], ["padded"]),
        helper.make_node("Gemm", ["sign" if pad is None else "padded", "w"] + ["b"] * bias, ["y"], transB=1),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])]
    return helper.make_model(helper.make_graph(nodes, "t", inputs, outputs, initializers))


@pytest.mark.parametrize(
    ("model", "one_bit"),
    [
        (signs_times(1.0), True),
        (signs_times(-1.0), True),
        (signs_times(0.5), False),
        (signs_times(1.0, plus=0.5), False),
        (signs_times(1.0, pad=1.0), True),
        (signs_times(1.0, pad=-1.0), True),
        (signs_times(1.0, pad=0.0), False),
        (signs_times(1.0, bias=True), False),
    ],
)
def test_what_counts_as_one_bit(model: ModelProto, one_bit: bool) -> None:
    assert count_ops(model).get("Gemm (1-bit)", 0) == int(one_bit)
