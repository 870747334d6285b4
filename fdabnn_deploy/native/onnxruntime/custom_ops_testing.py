"""Sessions of one operator of the domain `fdabnn`, and the operators' specifications, for the tests beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import fdabnn_deploy
from fdabnn_deploy.native.binary_layer import Floats

Arrays = dict[str, NDArray[Any]]


def open_node(
    op: str,
    inputs: dict[str, NDArray[Any] | None],
    outputs: dict[str, int],
    constants: Arrays,
    threads: int = 1,
    **attributes: Any,
) -> onnxruntime.InferenceSession:
    """A session of one node.

    Args:
        op: of the domain.
        inputs: in order; None is left out; sizes are free.
        outputs: names and types, in order; a name of "" is left out.
        constants: those of the inputs that are initialisers.
        threads: of the session.
        attributes: of the node.
    """
    node = helper.make_node(
        op,
        [name if value is not None else "" for name, value in inputs.items()],
        list(outputs),
        domain="fdabnn",
        **attributes,
    )
    graph = helper.make_graph(
        [node],
        "node",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim
            )
            for name, value in inputs.items()
            if value is not None and name not in constants
        ],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items() if name],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("fdabnn", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.register_custom_ops_library(fdabnn_deploy.custom_ops_path())
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def words(array: NDArray[np.uint32]) -> NDArray[np.int32]:
    """ONNX has no unsigned words here."""
    return array.view(np.int32)


def bits_of(array: Floats) -> Any:
    """-0.0 is not 0.0."""
    return array.view(np.uint32)


def documented(page: str, function: str) -> Any:
    """The function that a page of docs/ops gives as the operator's specification."""
    text = (Path(__file__).parents[3] / "docs" / "ops" / page).read_text(encoding="utf-8")
    names: dict[str, Any] = {"np": np}
    exec(text.split("```python")[1].split("```")[0], names)
    return names[function]
