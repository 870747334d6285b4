"""The same convolution on ONNX Runtime, in float32 and as unsigned activations by signed weights.

Integers: ONNX's QLinearConv, NCHW, and ONNX Runtime's own operator of that name, which also takes NHWC and so saves two transposes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench.layers import Problem
from bench.measure import Array, Contender
from fdabnn_deploy.measure.timer import looped

_IR, _OPSET = 8, 13


def contenders(problem: Problem) -> list[Contender]:
    """ONNX Runtime in float32, u8 x s8, and u8 x s8 in NHWC; one thread, buffers bound."""
    signs = problem.signs.transpose(0, 3, 1, 2)
    filters = problem.filters.transpose(0, 3, 1, 2)
    scaled = filters * problem.multiplier[:, None, None, None]
    real = _Session(
        _model(
            problem,
            "Conv",
            "",
            ["x", "w", "b"],
            [("w", scaled), ("b", problem.bias)],
            signs,
            problem.expected_float.transpose(0, 3, 1, 2),
            {},
        ),
        signs,
    )
    found = [Contender("ORT fp32", "fp32", looped(real.run), real.nhwc, problem.expected_float)]
    # 128 stands for 0, so -1 and +1 are 127 and 129; every scale is 1.
    unsigned = (problem.signs + 128).astype(np.uint8)
    expected = (problem.expected_int8.astype(np.int16) + 128).astype(np.uint8)
    one, middle, zero = np.float32(1), np.uint8(128), np.int8(0)
    constants: list[tuple[str, Any]] = [
        *(("xs", one), ("xz", middle), ("w", filters.astype(np.int8))),
        *(("ws", one), ("wz", zero), ("ys", one), ("yz", middle)),
    ]
    names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
    for label, domain, last in (("ORT u8s8", "", False), ("ORT u8s8 NHWC", "com.microsoft", True)):
        x = unsigned if last else unsigned.transpose(0, 3, 1, 2)
        y = expected if last else expected.transpose(0, 3, 1, 2)
        more = {"channels_last": 1} if last else {}
        session = _Session(_model(problem, "QLinearConv", domain, names, constants, x, y, more), x)
        output = session.output if last else session.nhwc
        found.append(Contender(label, "int8", looped(session.run), output, expected))
    return found


class _Session:
    def __init__(self, model: bytes, values: Array) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])
        self._binding = session.io_binding()
        self._values = onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values))
        output = session.get_outputs()[0]
        dtype = np.float32 if output.type == "tensor(float)" else np.uint8
        self._result = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(output.shape, dtype))
        self._binding.bind_ortvalue_input("x", self._values)
        self._binding.bind_ortvalue_output("y", self._result)
        self._session = session

    def run(self) -> None:
        """Once."""
        self._session.run_with_iobinding(self._binding)

    def output(self) -> Array:
        """The outputs of the last run."""
        values: Array = self._result.numpy()
        return values

    def nhwc(self) -> Array:
        """The same, from NCHW."""
        return self.output().transpose(0, 2, 3, 1)


def _model(
    problem: Problem,
    operator: str,
    domain: str,
    inputs: list[str],
    constants: list[tuple[str, Any]],
    x: Array,
    y: Array,
    more: dict[str, int],
) -> bytes:
    layer = problem.layer
    before, behind = layer.padding
    node = helper.make_node(
        operator,
        inputs,
        ["y"],
        domain=domain,
        kernel_shape=[layer.kernel] * 2,
        strides=[layer.stride] * 2,
        pads=[before, before, behind, behind],
    )
    node.attribute.extend(helper.make_attribute(key, value) for key, value in more.items())
    kind = TensorProto.FLOAT if x.dtype == np.float32 else TensorProto.UINT8
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", kind, x.shape)],
        [helper.make_tensor_value_info("y", kind, y.shape)],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants],
    )
    imports = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
    model: onnx.ModelProto = helper.make_model(graph, ir_version=_IR, opset_imports=imports)
    content: bytes = model.SerializeToString()
    return content
