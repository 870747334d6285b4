from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Add, AvgPool2d, Clamp, Conv2d, GlobalAvgPool, Linear, PRelu, Relu, Sign, Sub
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.measure.baselines.drop_signs import drop_signs
from fdabnn_deploy.measure.baselines.exact_layers import plain_layers
from fdabnn_deploy.measure.baselines.float_network import bias_of
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
from fdabnn_deploy.targets.converter import Kernels
from fdabnn_deploy.transforms.pass_testing import Build
from fdabnn_tflite.runtime.pack import pack_tflite
from fdabnn_tflite.runtime.tflite_file import digest, digest_place
from same_files.compare import verdict

pytestmark = pytest.mark.runtimes

pytest.importorskip("onnx")
FILES = (*FORMATS, "packed.onnx")
# The parts of a layer before the logits stop at 2^-11 of its result, and several layers add up.
CLOSE = 2.0**-8


def float_network() -> Graph:
    """Float layers: a stem, a shortcut around a convolution, pools, a dense layer; and a binary one, for which the stem is five sums."""
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


def exported(graph: Graph, folder: Path, kind: str) -> Path:
    """A file with exact numerics of one of `FILES`."""
    kernels: Kernels = "packed" if kind == "packed.onnx" else "standard"
    return write(graph, folder / f"model{kind}", exact=True, kernels=kernels)


def plain(path: Path) -> Path:
    """The file with plain layers, without signs."""
    network = read_network(path)
    drop_signs(network)
    plain_layers(network)
    return write_network(network, path, path.with_name(f"plain{path.suffix}"))


@pytest.fixture(scope="module", params=FILES)
def exact_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, Path]:  # fmt: skip
    graph = float_network()
    return graph, exported(graph, tmp_path_factory.mktemp("exact"), request.param)


def test_every_layer_is_one_operator_again(exact_file: tuple[Graph, Path]) -> None:
    _, path = exact_file
    before = operators(path)
    assert before["Conv"] + before["CONV_2D"] >= 5 + 2 + 2
    assert before["Sub"] + before["SUB"] > 6
    found = operators(plain(path))
    assert found["Conv"] + found["CONV_2D"] == 3 + 1
    assert found["Gemm"] + found["FULLY_CONNECTED"] == 1
    for name in ("Round", "ROUND", "Sub", "SUB", "Where", "SELECT_V2", "Less", "LESS", "Clip", "MAXIMUM"):
        assert found[name] == 0, name
    # The shortcut's, which exact numerics had turned into a subtraction.
    assert found["Add"] + found["ADD"] == 1


def test_it_computes_what_the_trained_network_does(exact_file: tuple[Graph, Path]) -> None:
    graph, path = exact_file
    x = floats(4, 3, 12, 12)
    expected, found = evaluate(graph, [x])[0], run(plain(path), x)[0]
    assert np.abs(found - expected).max() < CLOSE * np.abs(expected).max()


def test_names_that_the_record_does_not_have_play_no_part(exact_file: tuple[Graph, Path]) -> None:
    _, path = exact_file
    other = renamed(path)
    labels, others = (set(read_network(file).labels.values()) for file in (path, other))
    names, numbers = ({item.step.output for item in read_network(file).items} for file in (path, other))
    assert len((labels | names) & (others | numbers)) < len(labels | names) / 2
    assert verdict(plain(path), plain(other)) in ("same but for names", "same bytes")


def renamed(path: Path) -> Path:
    """The file with numbers for names, but for the record's and those of inputs and outputs."""
    content = path.read_bytes()
    other = path.with_name(f"renamed{path.suffix}")
    if path.suffix == ".tflite":
        schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        (graph,) = model.subgraphs
        kept = {*read_network(path).record.cuts}
        for place, tensor in enumerate(graph.tensors):
            if tensor.name.decode() not in kept and place not in (*graph.inputs, *graph.outputs):
                tensor.name = str(place)
        packed = pack_tflite(model, schema)
        digits = digest_place(packed)
        assert digits is not None
        other.write_bytes(packed[:digits] + digest(packed, digits) + packed[digits + 64 :])
        return other
    import onnx

    model = onnx.load_from_string(content)
    graph = model.graph
    kept = {*read_network(path).record.cuts, *(value.name for value in (*graph.input, *graph.output))}
    numbers: dict[str, str] = {}

    def number(name: str) -> str:
        return name if name in kept or not name else numbers.setdefault(name, f"n{len(numbers)}")

    for tensor in graph.initializer:
        tensor.name = number(tensor.name)
    for node in graph.node:
        node.name = number(node.name)
        node.input[:] = [number(name) for name in node.input]
        node.output[:] = [number(name) for name in node.output]
    del graph.value_info[:]
    other.write_bytes(model.SerializeToString())
    return other


@pytest.mark.parametrize("kind", FILES)
def test_limits_of_the_network_stay_and_no_others(kind: str, tmp_path: Path) -> None:
    seed(1)
    build = Build(3, 12, 12)
    y = build(Clamp(-1.0, 1.0), build(conv(3, 8), "x"))
    y = build(Clamp(0.0, 6.0), build(conv(8, 8), y))
    y = build(Clamp(-1.3, 1.3), build(conv(8, 8), y))
    y = build(Relu(), build(conv(8, 8), y))
    graph = build.graph(build(dense(8, 5), build(GlobalAvgPool(), y)))
    path = plain(exported(graph, tmp_path, kind))
    # As large as the record's limits never let them through.
    x = 40 * floats(4, 3, 12, 12)
    expected, found = evaluate(graph, [x])[0], run(path, x)[0]
    assert np.abs(found - expected).max() < CLOSE * np.abs(expected).max()
    steps = [item.step for item in read_network(path).items]
    assert not {"round", "select", "compare"} & {step.kind for step in steps}
    if path.suffix == ".onnx":
        limits = [(step.attributes["low"], step.attributes["high"]) for step in steps if step.kind == "clip"]
        assert limits == [(-1, 1), (0, 6), (np.float32(-1.3), np.float32(1.3))]


@pytest.mark.parametrize("kind", FILES)
def test_padding_of_its_own_in_front_of_the_layers(kind: str, tmp_path: Path) -> None:
    seed(2)
    build = Build(3, 35, 35)
    # TFLite's SAME has no such padding.
    y = build(Conv2d(floats(8, 3, 11, 11) / 10, floats(8), (4, 4), (2, 2)), "x")
    sign = build(binary(8, 4), build(Sign(), y))
    graph = build.graph(build(dense(8, 5), build(GlobalAvgPool(), y)), sign)
    path = plain(exported(graph, tmp_path, kind))
    x = floats(2, 3, 35, 35)
    expected, found = evaluate(graph, [x])[0], run(path, x)[0]
    assert np.abs(found - expected).max() < CLOSE * np.abs(expected).max()
    counts = operators(path)
    assert counts["Conv"] + counts["CONV_2D"] == 2
    assert counts["Sub"] + counts["SUB"] == counts["Round"] + counts["ROUND"] == 0


def test_differences_of_the_network_stay(tmp_path: Path) -> None:
    build = Build(3, 8, 8)
    x = "x"
    y = build(Relu(), build(Sub(), build(conv(3, 6), x), build(conv(3, 6), x)))
    graph = build.graph(build(dense(6, 4), build(GlobalAvgPool(), y)))
    path = plain(exported(graph, tmp_path, ".onnx"))
    assert operators(path)["Conv"] == 2
    image = floats(2, 3, 8, 8)
    expected, found = evaluate(graph, [image])[0], run(path, image)[0]
    assert np.abs(found - expected).max() < CLOSE * np.abs(expected).max()


def test_the_weights_are_the_trained_ones(exact_file: tuple[Graph, Path]) -> None:
    graph, path = exact_file
    network = read_network(path)
    plain_layers(network)
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
    plain_layers(network)
    assert network.items == items
