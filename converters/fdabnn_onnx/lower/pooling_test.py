from __future__ import annotations

import pytest
from onnx import helper

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Input, MaxPool2d
from fdabnn_onnx.build_model import build_model


@pytest.mark.parametrize(
    ("op", "size", "pads"),
    [
        (MaxPool2d((2, 2), (2, 2)), (5, 6), [0, 0, 0, 0]),
        (MaxPool2d((2, 2), (2, 2), ceil_mode=True), (5, 6), [0, 0, 1, 0]),
        (MaxPool2d((3, 3), (2, 2), (1, 1)), (8, 8), [1, 1, 1, 1]),
        (MaxPool2d((3, 3), (2, 2), (1, 1), ceil_mode=True), (8, 9), [1, 1, 2, 1]),
        (MaxPool2d((2, 2), (3, 3), (1, 1), ceil_mode=True), (8, 5), [1, 1, 0, 0]),
    ],
)
def test_ceil_mode_is_padding_behind_the_last_window(
    op: MaxPool2d, size: tuple[int, int], pads: list[int]
) -> None:
    graph = Graph([Node("x", Input((1, *size))), Node("y", op, ("x",))], ["y"])
    (node,) = build_model(graph, ModelInfo("t", (1, *size)), 1).graph.node
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    assert attributes["pads"] == pads
    assert "ceil_mode" not in attributes
