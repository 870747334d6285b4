from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear, FloatArray, Input, Sign
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.op_counts import count_ops
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntimeSession

INFO = ModelInfo("t", (2, 4, 4))


def conv(padding_value: int, padding: tuple[int, int] = (1, 1)) -> Graph:
    weight = np.where(np.arange(54).reshape(3, 2, 3, 3) % 3, 1, -1).astype(np.int8)
    op = BinaryConv2d(weight, padding=padding, padding_value=padding_value)
    return Graph([Node("x", Input((2, 4, 4))), Node("s", Sign(), ("x",)), Node("y", op, ("s",))], ["y"])


@pytest.mark.runtimes
def test_sign_of_zeros_nan_infinities_and_denormals() -> None:
    graph = Graph([Node("x", Input((8,))), Node("y", Sign(), ("x",))], ["y"])
    values = [[0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45]]
    x: FloatArray = np.array(values, dtype=np.float32)
    content = build_model(graph, INFO, 1).SerializeToString()
    for level in ("disabled", "all"):
        (y,) = OnnxRuntimeSession(content, "t", optimization=level).run([x])
        assert y.tolist() == [[1, 1, 1, 1, 1, -1, 1, -1]]


def test_signs_share_their_three_constants() -> None:
    graph = Graph([Node("x", Input((8,))), Node("a", Sign(), ("x",)), Node("y", Sign(), ("a",))], ["y"])
    model = build_model(graph, INFO, 1)
    assert [tensor.name for tensor in model.graph.initializer] == [
        "sign/zero",
        "sign/minus_one",
        "sign/plus_one",
    ]
    assert [node.name for node in model.graph.node] == ["a/negative", "a", "y/negative", "y"]


def test_zero_padding_is_the_convolutions_own() -> None:
    model = build_model(conv(padding_value=0), INFO, 1)
    assert count_ops(model) == {"Conv (1-bit)": 1, "Less": 1, "Where": 1}


def test_padding_with_one_is_a_pad_of_the_signs() -> None:
    model = build_model(conv(padding_value=1), INFO, 1)
    assert count_ops(model) == {"Conv (1-bit)": 1, "Less": 1, "Pad": 1, "Where": 1}
    assert [node.name for node in model.graph.node][2:] == ["y/padded", "y"]


def test_no_pad_where_nothing_is_padded() -> None:
    assert "Pad" not in count_ops(build_model(conv(padding_value=1, padding=(0, 0)), INFO, 1))


def test_weights_are_the_graphs_own() -> None:
    graph = conv(padding_value=0)
    (weight,) = (t for t in build_model(graph, INFO, 1).graph.initializer if t.name == "y/weight")
    op = graph["y"].op
    assert isinstance(op, BinaryConv2d)
    assert np.array_equal(numpy_helper.to_array(weight), op.weight)


def test_a_dense_layer_keeps_its_weight_as_stored() -> None:
    op = BinaryLinear(np.array([[1, -1, 1], [-1, -1, -1]], dtype=np.int8))
    graph = Graph([Node("x", Input((3,))), Node("s", Sign(), ("x",)), Node("y", op, ("s",))], ["y"])
    model = build_model(graph, INFO, 1)
    (weight,) = (t for t in model.graph.initializer if t.name == "y/weight")
    assert numpy_helper.to_array(weight).tolist() == [[1, -1, 1], [-1, -1, -1]]
    assert count_ops(model)["Gemm (1-bit)"] == 1
