from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fdabnn_onnx.fold_weights import fold_weights

X = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3])
Y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 2])
INTEGERS = np.array([[1, -2], [3, 4], [5, -128]], np.int8)
SCALES = np.array([0.5, 2.0**-9], np.float32)


def _model(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    stored = [numpy_helper.from_array(INTEGERS, "integers"), numpy_helper.from_array(SCALES, "scales")]
    return helper.make_model(helper.make_graph(list(nodes), "main", [X], [Y], stored))


def test_weights_become_floats() -> None:
    model = _model(
        helper.make_node("Cast", ["integers"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scales"], ["w"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    )
    before = model.SerializeToString()
    folded = fold_weights(model)
    assert [node.op_type for node in folded.graph.node] == ["MatMul"]
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in folded.graph.initializer}
    assert constants["w"].dtype == np.float32
    assert np.array_equal(constants["w"], INTEGERS.astype(np.float32) * SCALES)
    assert model.SerializeToString() == before
    onnx.checker.check_model(folded)


def test_what_depends_on_the_input_stays() -> None:
    model = _model(
        helper.make_node("Cast", ["integers"], ["halves"], to=onnx.TensorProto.FLOAT16),
        helper.make_node("Mul", ["x", "scales"], ["y"]),
    )
    assert fold_weights(model) is model
