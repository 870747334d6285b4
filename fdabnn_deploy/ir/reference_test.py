from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Add, Compare, Constant, FloatArray, Input, Mul, Where
from fdabnn_deploy.ir.reference import evaluate, evaluate_all


def test_every_tensor_has_its_name_type_and_shape() -> None:
    graph = network()
    values = evaluate_all(graph, network_inputs(3))
    assert list(values) == [node.name for node in graph]
    for name, value in values.items():
        assert value.dtype == np.float32
        assert value.shape == (3, *graph.shape(name)[1:])


def test_outputs_come_in_the_graphs_order() -> None:
    graph, inputs = network(), network_inputs(2)
    values = evaluate_all(graph, inputs)
    outputs = evaluate(graph, inputs)
    assert all(np.array_equal(a, values[name]) for a, name in zip(outputs, graph.outputs, strict=True))


def test_images_do_not_mix() -> None:
    graph, inputs = network(), network_inputs(3)
    together = evaluate(graph, inputs)
    for i in range(3):
        alone = evaluate(graph, [value[i : i + 1] for value in inputs])
        assert all(np.array_equal(a, b[i : i + 1]) for a, b in zip(alone, together, strict=True))


def test_captured_operators_and_booleans() -> None:
    nodes = [
        Node("x", Input((3,))),
        Node("zero", Constant(np.zeros((), dtype=np.float32))),
        Node("one", Constant(np.ones(3, dtype=np.float32))),
        Node("minus", Constant(-np.ones((), dtype=np.float32))),
        Node("less", Compare("lt"), ("x", "zero")),
        Node("y", Where(), ("less", "minus", "one")),
    ]
    x: FloatArray = np.array([[-2, -0.0, 3]], dtype=np.float32)
    values = evaluate_all(Graph(nodes, ["y"]), [x])
    assert values["less"].dtype == np.bool_
    assert values["y"].tolist() == [[-1, 1, 1]]


def test_a_tensor_read_twice() -> None:
    graph = Graph([Node("x", Input((2,))), Node("s", Mul(), ("x", "x")), Node("y", Add(), ("s", "s"))], ["y"])
    assert evaluate(graph, [np.array([[3, -1]], dtype=np.float32)])[0].tolist() == [[18, 2]]


def test_inputs_that_do_not_fit() -> None:
    image, bias = network_inputs(1)
    with pytest.raises(ValueError, match="2 inputs, 1 were given"):
        evaluate(network(), [image])
    with pytest.raises(ValueError, match=r"input bias takes \[N, 4\]"):
        evaluate(network(), [image, bias[:, :3]])
