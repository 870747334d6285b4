"""Operators, names and bytes of files that the own writer makes; `runtime_tests/both_writers_test.py` compares with LCE's converter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.conformance import network
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.reference import evaluate, evaluate_all
from fdabnn_tflite.runtime.interpreter import Setting
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.tflite_file import TfliteFile, parse_tflite
from fdabnn_tflite.tensor_layout import choose_flipped
from fdabnn_tflite.writer import write_flatbuffer

pytestmark = pytest.mark.runtimes


def written(graph: Graph, batch: int | None = 1) -> bytes:
    return write_flatbuffer(graph, choose_flipped(graph), batch, ModelInfo("test", (1, 1, 1)))[0]


def parsed(graph: Graph) -> TfliteFile:
    return parse_tflite(written(graph))


def test_the_same_graph_gives_the_same_bytes_and_every_tensor_a_name_of_its_own() -> None:
    assert written(network()) == written(network())
    names = [tensor.name for tensor in parsed(network()).tensors]
    assert all(names)
    assert len(set(names)) == len(names)


def test_equal_constants_are_one_tensor() -> None:
    layer = ops.Conv2d(np.arange(8, dtype=np.float32).reshape(2, 4, 1, 1), np.ones(2, np.float32))
    nodes = [Node("x", ops.Input((4, 3, 3))), Node("r", ops.Relu(), ("x",))]
    nodes += [Node("a", layer, ("x",)), Node("b", layer, ("r",)), Node("y", ops.Sub(), ("a", "b"))]
    constants = [tensor.name for tensor in parsed(Graph(nodes, ["y"])).tensors if tensor.constant]
    assert constants == ["a/weight", "a/bias"]


def chain(shape: tuple[int, ...], *operators: ops.Op) -> Graph:
    nodes = [Node("x", ops.Input(shape))]
    for i, op in enumerate(operators):
        nodes.append(Node(f"y{i}", op, (nodes[-1].name,)))
    return Graph(nodes, [nodes[-1].name])


def weights(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.random.default_rng(0).choice(np.array([-1, 1], np.int8), shape)


DENSE = ops.Linear(np.arange(8, dtype=np.float32).reshape(2, 4), np.ones(2, np.float32))


@pytest.mark.parametrize(
    ("operators", "kinds"),
    [
        ((ops.Conv2d(np.ones((2, 4, 1, 1), np.float32), np.ones(2, np.float32)), ops.Relu()), ["CONV_2D"]),
        ((ops.Relu(), ops.Relu()), ["RELU"]),
        ((ops.Clamp(0.0, 6.0),), ["RELU6"]),
        ((ops.Clamp(-1.0, 1.0),), ["RELU_N1_TO_1"]),
        ((ops.Clamp(-8.0, 8.0),), ["MAXIMUM", "MINIMUM"]),
        ((ops.Permute((2, 3, 1)), ops.Permute((3, 1, 2)), ops.Relu()), ["RELU"]),
        ((ops.Pad(((0, 0),) * 3), ops.Relu()), ["RELU"]),
        ((ops.MaxPool2d((6, 6), (6, 6)), ops.GlobalAvgPool(keepdims=True), ops.Relu()), ["MAX_POOL_2D"]),
        ((ops.MaxPool2d((6, 6), (6, 6)), ops.GlobalAvgPool(), DENSE), ["MAX_POOL_2D", "FULLY_CONNECTED"]),
        (
            (
                ops.MaxPool2d((6, 6), (6, 6)),
                ops.Reshape((4,)),
                ops.Clamp(-3.0, 3.0),
                ops.RoundToGrid(0),
                DENSE,
            ),
            ["MAX_POOL_2D", "MAXIMUM", "MINIMUM", "ROUND", "FULLY_CONNECTED"],
        ),
        ((ops.Sign(), ops.BinaryConv2d(weights(4, 4, 3, 3))), ["LceQuantize", "LceBconv2d"]),
        (
            (
                *(
                    ops.Sign(),
                    ops.BinaryConv2d(weights(4, 4, 3, 3)),
                    ops.Affine(-np.ones(4), np.full(4, 0.5)),
                ),
                *(ops.MaxPool2d((2, 2), (2, 2)), ops.Sign(), ops.BinaryConv2d(weights(4, 4, 1, 1))),
            ),
            ["LceQuantize", "LceBconv2d", "LceBMaxPool2d", "LceBconv2d"],
        ),
        (
            (ops.Sign(), ops.BinaryConv2d(weights(4, 4, 3, 3)), ops.Affine(np.ones(4) * 2, np.ones(4))),
            ["LceQuantize", "LceBconv2d"],
        ),
    ],
    ids=[
        *("bias and activation", "two activations", "ReLU6", "Hardtanh", "other limits", "moves that cancel"),
        *("padding of nothing", "mean of one value", "rows of pixels", "rows behind limits and a grid"),
        *("binary layer", "signs handed on as bits", "scale and offset"),
    ],
)
def test_operators(operators: tuple[ops.Op, ...], kinds: list[str], tmp_path: Path) -> None:
    graph = chain((4, 6, 6), *operators)
    data, _ = write_flatbuffer(graph, False, 1, ModelInfo("chain", (1, 1, 1)))
    assert [operator.name for operator in parse_tflite(data).operators] == kinds
    (tmp_path / "chain.tflite").write_bytes(data)
    x = np.random.default_rng(1).integers(-9, 9, (1, 4, 6, 6)).astype(np.float32)
    (found,) = LiteRtRuntime().open(tmp_path / "chain.tflite").run([x])
    np.testing.assert_array_equal(found, evaluate(graph, [x])[0])


def test_a_reshape_of_what_others_read_takes_a_copy() -> None:
    dense = ops.Linear(np.ones((5, 36), np.float32), np.ones(5, np.float32))
    nodes = [Node("x", ops.Input((4, 3, 3))), Node("r", ops.Relu(), ("x",))]
    nodes += [Node("f", ops.Reshape((36,)), ("r",)), Node("y", dense, ("f",))]
    kinds = [
        [operator.name for operator in parsed(Graph(nodes, outputs)).operators]
        for outputs in (["y"], ["y", "r"])
    ]
    # The weights are integers in the file, hence `DEQUANTIZE`.
    layer = ["RESHAPE", "DEQUANTIZE", "FULLY_CONNECTED"]
    assert kinds == [["RELU", *layer], ["RELU", "PAD", *layer]]


def test_a_moved_reshape_leaves_every_tensor_where_the_file_says(tmp_path: Path) -> None:
    """Rows [N, C] behind a reshape are pixels [N, 1, 1, C] in the file; who reads them as rows, or returns them, still gets rows."""
    nodes = [Node("x", ops.Input((4, 3, 3))), Node("p", ops.MaxPool2d((3, 3), (3, 3)), ("x",))]
    nodes += [Node("f", ops.Reshape((4,)), ("p",)), Node("r", ops.Relu(), ("f",))]
    nodes += [Node("s", ops.Affine(np.ones(4) * 2, np.zeros(4)), ("r",)), Node("y", DENSE, ("s",))]
    graph = Graph(nodes, ["y", "r"])
    (tmp_path / "rows.tflite").write_bytes(written(graph, None))
    x = np.random.default_rng(0).normal(size=(3, 4, 3, 3)).astype(np.float32)
    session = LiteRtRuntime().open(tmp_path / "rows.tflite", setting=Setting(batch=3))
    for found, expected in zip(session.run([x]), evaluate(graph, [x]), strict=True):
        np.testing.assert_array_equal(found, expected)
    inner = session.run_all([x])
    for name, values in evaluate_all(graph, [x]).items():
        if name in inner:
            np.testing.assert_array_equal(inner[name], values, err_msg=name)
    assert {"r", "y"} <= set(inner)


def test_an_input_and_a_tensor_may_be_returned_twice(tmp_path: Path) -> None:
    nodes = [Node("x", ops.Input((4, 3, 3))), Node("y", ops.Relu(), ("x",))]
    data = written(Graph(nodes, ["x", "y", "y"]))
    (tmp_path / "same.tflite").write_bytes(data)
    x = np.random.default_rng(0).normal(size=(1, 4, 3, 3)).astype(np.float32)
    a, b, c = LiteRtRuntime().open(tmp_path / "same.tflite").run([x])
    np.testing.assert_array_equal(a, x)
    np.testing.assert_array_equal(b, np.maximum(x, 0))
    np.testing.assert_array_equal(c, b)
