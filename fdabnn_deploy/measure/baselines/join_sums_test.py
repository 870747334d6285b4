from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Add, AvgPool2d, GlobalAvgPool, Linear, PRelu, Relu, Sign
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.measure.baselines.drop_signs import drop_signs
from fdabnn_deploy.measure.baselines.float_network import bias_of
from fdabnn_deploy.measure.baselines.join_sums import join_sums
from fdabnn_deploy.measure.baselines.small_files_testing import (
    FORMATS,
    binary,
    conv,
    dense,
    floats,
    operators,
    read_network,
    run,
    seed,
    write,
    write_network,
)
from fdabnn_deploy.transforms.pass_testing import Build

pytestmark = pytest.mark.runtimes

pytest.importorskip("onnx")
# The parts of a layer before the logits stop at 2^-11 of its result, and several layers add up.
CLOSE = 2.0**-8


def float_network() -> Graph:
    """Float layers: a stem, a shortcut around a convolution, pools, a dense layer; and a binary one, for which the stem is six sums."""
    # A limit of these weights comes to be 6, and TensorFlow makes it one with the ReLU.
    seed(0)
    build = Build(3, 12, 12)
    stem = build(Relu(), build(conv(3, 8), "x"))
    y = build(Add(), build(conv(8, 8), stem), stem)
    y = build(PRelu(np.array(0.25, dtype=np.float32)), y)
    y = build(AvgPool2d((2, 2), (2, 2)), y)
    y = build(conv(8, 16, 1), y)
    logits = build(dense(16, 5), build(GlobalAvgPool(), y))
    return build.graph(logits, build(binary(8, 4), build(Sign(), stem)))


@pytest.fixture(scope="module", params=FORMATS)
def exact_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, Path]:  # fmt: skip
    if request.param == ".tflite":
        pytest.importorskip("larq_compute_engine")
    graph = float_network()
    return graph, write(graph, tmp_path_factory.mktemp("exact") / f"model{request.param}", exact=True)


def test_every_layer_is_one_operator_again(exact_file: tuple[Graph, Path], tmp_path: Path) -> None:
    _, path = exact_file
    before = operators(path)
    assert before["Conv"] + before["CONV_2D"] >= 6 + 2 + 2
    assert before["Sub"] + before["SUB"] > 6
    network = read_network(path)
    drop_signs(network)
    join_sums(network)
    found = operators(write_network(network, path, tmp_path / f"joined{path.suffix}"))
    assert found["Conv"] + found["CONV_2D"] == 3 + 1
    assert found["Gemm"] + found["FULLY_CONNECTED"] == 1
    for name in ("Round", "ROUND", "Sub", "SUB", "Where", "SELECT_V2", "Less", "LESS", "Clip", "MAXIMUM"):
        assert found[name] == 0, name
    # The shortcut's, which exact numerics had turned into a subtraction.
    assert found["Add"] + found["ADD"] == 1


def test_it_computes_what_the_trained_network_does(exact_file: tuple[Graph, Path], tmp_path: Path) -> None:
    graph, path = exact_file
    network = read_network(path)
    drop_signs(network)
    join_sums(network)
    joined = write_network(network, path, tmp_path / f"joined{path.suffix}")
    x = floats(4, 3, 12, 12)
    expected, found = evaluate(graph, [x])[0], run(joined, x)[0]
    assert np.abs(found - expected).max() < CLOSE * np.abs(expected).max()


def test_the_weights_are_the_trained_ones(exact_file: tuple[Graph, Path]) -> None:
    graph, path = exact_file
    network = read_network(path)
    join_sums(network)
    (trained,) = (node.op for node in graph.nodes_of(Linear))
    (item,) = (
        item
        for item in network.items
        if item.step.kind == "dense"
        or (item.step.kind == "linear" and item.step.attributes["windows"] is None)
    )
    assert isinstance(trained, Linear)
    assert trained.bias is not None
    weight = item.step.attributes["weight"][:, :, 0]
    assert np.abs(weight - trained.weight).max() < CLOSE * np.abs(trained.weight).max()
    assert np.abs(bias_of(item.step) - trained.bias).max() < CLOSE * np.abs(trained.bias).max()


def test_files_without_exact_numerics_are_left_alone(tmp_path: Path) -> None:
    path = write(float_network(), tmp_path / "plain.onnx")
    network = read_network(path)
    items = list(network.items)
    join_sums(network)
    assert network.items == items
