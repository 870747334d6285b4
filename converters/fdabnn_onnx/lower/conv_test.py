from __future__ import annotations

import numpy as np
from onnx import helper

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Conv2d, Input, Linear
from fdabnn_onnx.build_model import build_model

INFO = ModelInfo("t", (4, 8, 8))


def test_convolution_attributes() -> None:
    op = Conv2d(np.ones((6, 2, 3, 1), dtype=np.float32), None, (2, 1), (1, 0), (1, 2), 2)
    model = build_model(Graph([Node("x", Input((4, 8, 8))), Node("y", op, ("x",))], ["y"]), INFO, 1)
    (node,) = model.graph.node
    assert list(node.input) == ["x", "y/weight"]
    assert {a.name: helper.get_attribute_value(a) for a in node.attribute} == {
        "kernel_shape": [3, 1],
        "strides": [2, 1],
        "pads": [1, 0, 1, 0],
        "dilations": [1, 2],
        "group": 2,
    }


def test_a_bias_is_an_input() -> None:
    op = Linear(np.ones((2, 3), dtype=np.float32), np.ones(2, dtype=np.float32))
    model = build_model(Graph([Node("x", Input((3,))), Node("y", op, ("x",))], ["y"]), INFO, 1)
    assert list(model.graph.node[0].input) == ["x", "y/weight", "y/bias"]
    assert list(model.graph.initializer[0].dims) == [2, 3]
