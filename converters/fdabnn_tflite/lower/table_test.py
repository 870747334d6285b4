from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import DEPLOYED, BinaryConv2d, Input, Relu, Sign, Unary
from fdabnn_tflite.lower import LOWERINGS
from fdabnn_tflite.saved_model import build_flatbuffer

pytestmark = pytest.mark.runtimes


def test_every_deployed_operator_has_a_lowering() -> None:
    assert set(LOWERINGS) == DEPLOYED - {Input}


def test_an_operator_that_is_not_deployed_is_refused_by_name() -> None:
    graph = Graph([Node("x", Input((3, 4, 4))), Node("wave", Unary("sin"), ("x",))], ["wave"])
    with pytest.raises(ModelRefusedError, match=r"wave \(Unary\).*deployment passes"):
        build_flatbuffer(graph, False, 1)


def test_what_no_output_needs_and_bare_signs_are_not_emitted() -> None:
    conv = BinaryConv2d(np.ones((2, 3, 3, 3), dtype=np.int8), (2, 2), (1, 1))
    graph = Graph(
        [
            Node("x", Input((3, 4, 4))),
            Node("unused", Relu(), ("x",)),
            Node("s", Sign(), ("x",)),
            Node("y", conv, ("s",)),
        ],
        ["y"],
    )
    _, emitter, _ = build_flatbuffer(graph, False, 1)
    owners = {node.name for node in emitter.owners.values()}
    assert owners == {"y"}
    assert len(emitter.signs) == 1
