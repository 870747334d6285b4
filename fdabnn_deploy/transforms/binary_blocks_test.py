"""Which operators a binary block takes in, and that the graph stays the same network."""

from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.conformance.hostile import normal_inputs
from fdabnn_deploy.conformance.random_graph import random_graph
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.composites import BinaryBlock, decompose
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.ir.ops.base import BATCH, GraphError
from fdabnn_deploy.ir.ranges import uniform
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.runtimes.torch_graph import run_operator
from fdabnn_deploy.transforms.binary_blocks import binary_blocks

CHANNELS = 4


def conv(seed: int) -> ops.BinaryConv2d:
    weight = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (CHANNELS, CHANNELS, 3, 3))
    return ops.BinaryConv2d(weight, padding=(1, 1))


def affine(seed: int) -> ops.Affine:
    rng = np.random.default_rng(seed)
    return ops.Affine(rng.normal(size=CHANNELS), rng.normal(size=CHANNELS))


def graph_of(*nodes: tuple[str, Op, tuple[str, ...]], outputs: tuple[str, ...] = ("y",)) -> Graph:
    made = [Node(name, op, inputs, f"module {name}", trained=name) for name, op, inputs in nodes]
    return Graph([Node("x", ops.Input((CHANNELS, 5, 5))), *made], outputs)


PRELU = ops.PRelu(np.array([0.25, -0.5, 2.0, 0.0], np.float32))
LAYER = (("s", ops.Sign(), ("x",)), ("c", conv(0), ("s",)))
WHOLE = graph_of(
    *LAYER,
    ("p", PRELU, ("c",)),
    ("a", affine(1), ("p",)),
    ("l", ops.Clamp(-3.0, 2.0), ("a",)),
    ("r", ops.Add(), ("x", "l")),
    ("y", affine(2), ("r",)),
)


def test_a_layer_with_its_whole_epilogue_is_one_block() -> None:
    outcome = binary_blocks(WHOLE)
    x, block = outcome.graph
    assert outcome.applied == 1
    assert (x.name, block.name, block.inputs, block.trained) == ("x", "y", ("x", "x"), "y")
    assert isinstance(block.op, BinaryBlock)
    assert block.op.takes_sign
    assert block.op.layer.name == "c"
    assert [node.name for node in block.op.epilogue] == ["p", "a", "l", "r", "y"]


def test_formula_operators_and_kernel_agree_bit_for_bit() -> None:
    graph = binary_blocks(WHOLE).graph
    block = graph["y"].op
    (x,) = normal_inputs(WHOLE, np.random.default_rng(0), 4)
    (expected,) = evaluate(WHOLE, [x])
    for found in (block.reference(x, x), *evaluate(decompose(graph), [x]), run_operator(block, [x, x])):
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))
    shape = (BATCH, *x.shape[1:])
    bounds = block.bounds([uniform(-9, 9, 20, CHANNELS)] * 2, [shape] * 2, block.infer(shape, shape))
    assert np.all(bounds.low <= expected.min(axis=(0, 2, 3)))
    assert np.all(bounds.high >= expected.max(axis=(0, 2, 3)))


def test_decomposed_blocks_are_the_graph_again() -> None:
    assert str(decompose(binary_blocks(WHOLE).graph)) == str(WHOLE)
    again = decompose(binary_blocks(WHOLE).graph)
    assert [(node.module, node.trained) for node in again] == [(node.module, node.trained) for node in WHOLE]


@pytest.mark.parametrize(
    ("graph", "names"),
    [
        (graph_of(*LAYER, ("y", PRELU, ("c",)), outputs=("c", "y")), ["x", "c", "y"]),
        (graph_of(*LAYER, ("p", PRELU, ("c",)), ("y", ops.Add(), ("p", "c"))), ["x", "c", "p", "y"]),
        (graph_of(*LAYER, ("y", ops.Add(), ("c", "c"))), ["x", "c", "y"]),
        (graph_of(*LAYER, ("y", ops.Relu(), ("c",))), ["x", "c", "y"]),
        (
            graph_of(*LAYER, ("r", ops.Add(), ("c", "x")), ("y", ops.Add(), ("r", "x"))),
            ["x", "r", "y"],
        ),
        (
            graph_of(*LAYER, ("l", ops.Clamp(-3.0, 2.0), ("c",)), ("y", ops.RoundToGrid(3), ("l",))),
            ["x", "c", "l", "y"],
        ),
    ],
    ids=[
        "returned",
        "read twice",
        "its own shortcut",
        "no step of an epilogue",
        "two shortcuts",
        "limits of a rounding",
    ],
)
def test_where_an_epilogue_ends(graph: Graph, names: list[str]) -> None:
    blocks = binary_blocks(graph).graph
    assert [node.name for node in blocks] == names
    (x,) = normal_inputs(graph, np.random.default_rng(0), 2)
    for a, b in zip(evaluate(blocks, [x]), evaluate(graph, [x]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_two_layers_share_a_sign_and_others_may_read_it() -> None:
    shared = graph_of(*LAYER, ("d", conv(1), ("s",)), ("y", ops.Add(), ("c", "d")))
    blocks = binary_blocks(shared).graph
    assert [(node.name, node.inputs) for node in blocks] == [("x", ()), ("c", ("x",)), ("y", ("x", "c"))]
    assert sum(isinstance(node.op, ops.Sign) for node in decompose(blocks)) == 1
    read = graph_of(*LAYER, ("y", ops.Add(), ("c", "s")))
    blocks = binary_blocks(read).graph
    assert [(node.name, node.inputs) for node in blocks] == [("x", ()), ("s", ("x",)), ("y", ("x", "s"))]
    assert str(decompose(blocks)) == str(read)


def test_moved_signs_are_the_operand() -> None:
    moved = graph_of(
        ("s", ops.Sign(), ("x",)), ("m", ops.MaxPool2d((2, 2), (1, 1)), ("s",)), ("y", conv(0), ("m",))
    )
    block = binary_blocks(moved).graph["y"]
    assert isinstance(block.op, BinaryBlock)
    assert (block.op.takes_sign, block.inputs) == (False, ("m",))


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_stay_what_they_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng).graph
    inputs = normal_inputs(graph, rng, 2)
    expected = evaluate(graph, inputs)
    blocks = binary_blocks(graph).graph
    assert not blocks.nodes_of(ops.BinaryConv2d, ops.BinaryLinear)
    assert {str(node) for node in decompose(blocks)} == {str(node) for node in graph}
    for a, b in zip(evaluate(blocks, inputs), expected, strict=True):
        np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))


def test_impossible_blocks_are_refused() -> None:
    sign, layer = (Node(name, op, inputs) for name, op, inputs in LAYER)
    relu, add = Node("r", ops.Relu(), ("c",)), Node("a", ops.Add(), ("c", "x"))
    for nodes in ((sign,), (sign, layer, relu), (sign, layer, add, Node("b", ops.Add(), ("a", "x")))):
        with pytest.raises(GraphError):
            BinaryBlock(nodes)
