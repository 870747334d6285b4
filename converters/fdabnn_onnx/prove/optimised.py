"""The model that ONNX Runtime really runs: what its graph optimisation made of a file on this machine."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError
from fdabnn_deploy.system.scratch import ScratchFolder
from fdabnn_onnx.runtime.onnxruntime import register_custom_ops

LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


def optimised(content: bytes, level: str) -> bytes:
    """The optimised model as ONNX bytes.

    Args:
        content: an ONNX file.
        level: one of `LEVELS`.

    Raises:
        ModelRefusedError: ONNX Runtime does not take the file.
        RuntimeMissingError: it is not installed.
    """
    try:
        import onnxruntime
    except ModuleNotFoundError:
        raise RuntimeMissingError("ONNX Runtime is not installed: pip install onnxruntime") from None
    with ScratchFolder("fdabnn-optimised-") as folder:
        path = folder.path / "optimised.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, LEVELS[level])
        options.optimized_model_filepath = str(path)
        options.intra_op_num_threads = 1
        # It warns that the result fits this machine only, which is what is wanted.
        options.log_severity_level = 4
        try:
            register_custom_ops(options, content)
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            return path.read_bytes()
        except RuntimeMissingError:
            raise
        except Exception as error:  # noqa: BLE001 - damage meets a dozen classes without a common base
            reason = " ".join(str(error).split())[:200]
            raise ModelRefusedError(
                f"ONNX Runtime does not take the model: {reason}; export it again"
            ) from None


def import_onnx() -> ModuleType:
    """The `onnx` package.

    Raises:
        RuntimeMissingError: it is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            "looking into an ONNX model needs the package onnx: pip install 'fdabnn-deploy[export]'"
        ) from None
    return onnx


@cache
def block_size() -> int:
    """How many channels ONNX Runtime keeps together on this machine, found by letting it optimise one convolution; 0 for none."""
    onnx = import_onnx()
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weight = onnx.numpy_helper.from_array(np.ones((1, 1, 1, 1), dtype=np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "weight"], ["y"])],
        "probe",
        [helper.make_tensor_value_info("x", floats, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", floats, [1, 1, 4, 4])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found: Any = onnx.load_from_string(optimised(model.SerializeToString(), "all")).graph
    for node in found.node:
        if node.op_type == "Conv" and node.domain == "com.microsoft.nchwc":
            return next(int(tensor.dims[0]) for tensor in found.initializer if tensor.name == node.input[1])
    return 0
