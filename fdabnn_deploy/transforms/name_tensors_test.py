from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, Input, Relu, Sign
from fdabnn_deploy.transforms.name_tensors import name_tensors


def test_names_tell_module_and_kind_and_are_unique() -> None:
    weight = np.ones((3, 3, 1, 1), dtype=np.int8)
    identity = Affine(np.ones(3), np.ones(3))
    graph = Graph(
        [
            Node("a", Input((3, 2, 2))),
            Node("b", Sign(), ("a",), "layer1.conv"),
            Node("c", BinaryConv2d(weight), ("b",), "layer1.conv"),
            Node("d", identity, ("c",), "layer1.bn"),
            Node("e", Relu(), ("d",)),
            Node("f", Relu(), ("e",)),
            Node("g", identity, ("f",), "layer1.bn"),
        ],
        ["g"],
    )
    names = [node.name for node in name_tensors(graph).graph]
    assert names == [
        "input",
        "layer1.conv/sign",
        "layer1.conv/binary_conv",
        "layer1.bn/affine",
        "relu",
        "relu2",
        "output",
    ]


def test_several_inputs_and_outputs_are_numbered() -> None:
    graph = Graph(
        [
            Node("a", Input((1,))),
            Node("b", Input((1,))),
            Node("c", Relu(), ("a",)),
            Node("d", Relu(), ("b",)),
        ],
        ["d", "c"],
    )
    renamed = name_tensors(graph).graph
    assert renamed.inputs == ("input_0", "input_1")
    assert renamed.outputs == ("output_0", "output_1")
