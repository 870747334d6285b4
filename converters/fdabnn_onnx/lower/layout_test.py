from __future__ import annotations

import pytest
from onnx import numpy_helper

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Input, Op, Pad, Reshape, Slice, UpsampleNearest
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.verify import check_model

pytestmark = pytest.mark.runtimes


def parameters(op: Op) -> dict[str, list[int]]:
    graph = Graph([Node("x", Input((2, 4, 6))), Node("y", op, ("x",))], ["y"])
    model = build_model(graph, ModelInfo("t", (2, 4, 6)), None)
    return {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in model.graph.initializer}


def test_pads_are_begins_then_ends() -> None:
    pad = parameters(Pad(((1, 2), (0, 3), (4, 0)), value=0.5))
    assert pad == {"y/pads": [0, 1, 0, 4, 0, 2, 3, 0], "y/value": 0.5}


def test_slices_leave_the_batch_alone() -> None:
    assert parameters(Slice(((0, 2, 1), (1, 4, 2), (0, 6, 3)))) == {
        "y/begins": [0, 1, 0],
        "y/ends": [2, 4, 6],
        "y/axes": [1, 2, 3],
        "y/steps": [1, 2, 3],
    }


def test_reshapes_keep_the_batch() -> None:
    assert parameters(Reshape((8, 6))) == {"y/shape": [0, 8, 6]}


@pytest.mark.parametrize("batch", [1, None])
def test_an_upsampled_batch_is_the_batch(batch: int | None) -> None:
    graph = Graph([Node("x", Input((2, 4, 6))), Node("y", UpsampleNearest((2, 3)), ("x",))], ["y"])
    check_model(build_model(graph, ModelInfo("t", (2, 4, 6)), batch), graph, batch)
