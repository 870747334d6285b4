"""Two ONNX models whose output has time in front, as recurrent ones have: they differ in the later steps alone."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

for name, last in (("a", 1.0), ("b", -1.0)):
    steps = np.array([1, 1, last, last], np.float32).reshape(4, 1, 1)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "steps"], ["y"])],
        "steps",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 1, 5])],
        [numpy_helper.from_array(steps, "steps")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), f"{name}.onnx"
    )
