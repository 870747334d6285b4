from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Input, Relu
from fdabnn_onnx.emitter import Emitter

pytestmark = pytest.mark.runtimes


def make() -> tuple[Emitter, Node]:
    graph = Graph(
        [Node("x", Input((2,))), Node("y", Relu(), ("x",)), Node("y/weight", Relu(), ("y",))], ["y/weight"]
    )
    return Emitter(graph), graph["y"]


def test_parts_get_names_under_their_node() -> None:
    to, node = make()
    assert to.emit("Less", node, ["x", "x"], part="negative") == "y/negative"
    assert to.emit("Relu", node, ["x"]) == "y"
    assert [(n.name, list(n.output)) for n in to.nodes] == [("y/negative", ["y/negative"]), ("y", ["y"])]


def test_names_of_the_graph_are_never_taken() -> None:
    to, node = make()
    assert to.parameter(node, "weight", np.zeros(3)) == "y/weight_1"
    assert to.parameter(node, "weight", np.zeros(3)) == "y/weight_2"


def test_large_parameters_of_the_same_content_are_shared() -> None:
    to, node = make()
    large = np.arange(256, dtype=np.float32)
    assert to.parameter(node, "scale", large) == to.parameter(node, "offset", large.copy()) == "y/scale"
    assert to.parameter(node, "offset", large.reshape(16, 16)) == "y/offset"
    assert to.parameter(node, "other", large + 1) == "y/other"
    assert len(to.initializers) == 3


def test_scalars_are_shared() -> None:
    to, _ = make()
    assert to.scalar("sign/zero", 0) == to.scalar("sign/zero", 0) == "sign/zero"
    assert len(to.initializers) == 1
    assert list(to.initializers[0].dims) == []


def test_attributes_that_are_none_are_left_out() -> None:
    to, node = make()
    to.emit("Gemm", node, ["x", "x"], transB=1, alpha=None)
    assert [a.name for a in to.nodes[0].attribute] == ["transB"]


def test_parameters_keep_their_rank() -> None:
    to, node = make()
    for shape in ((), (1,), (2, 3)):
        to.parameter(node, "value", np.zeros(shape))
    assert [list(tensor.dims) for tensor in to.initializers] == [[], [1], [2, 3]]
