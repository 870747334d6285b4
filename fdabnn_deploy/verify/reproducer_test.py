from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import BinaryConv2d, FloatArray, Input, Sign, Slice, TorchSign
from fdabnn_deploy.ir.reference import evaluate, evaluate_all
from fdabnn_deploy.verify.reproducer import Case, check_folder, cut, write
from fdabnn_tflite.runtime.tflite_file import read_tflite

GRAPH = network()
VALUES = evaluate_all(GRAPH, network_inputs(1))


def case(tensor: str, equal: set[str], index: tuple[int, ...]) -> Case:
    """The tensor, off by one at the index on side B."""
    wrong = VALUES[tensor].copy()
    wrong[index] += 1
    known = frozenset(equal)
    return Case(GRAPH, tensor, index, known, VALUES, ("net.pt", VALUES[tensor]), ("net.tflite", wrong))


@pytest.mark.parametrize(
    ("tensor", "known", "inputs"),
    [
        ("sum1", {"act1", "norm1", "stem"}, ["norm1", "act1"]),
        ("sum1", {"norm1"}, ["norm1"]),
        ("conv1", {"sign1"}, ["sign1/recorded"]),
        ("stem", {"stem"}, ["image"]),
        ("product", set(), ["image", "bias"]),
    ],
)
def test_a_layer_goes_back_to_what_is_known(tensor: str, known: set[str], inputs: list[str]) -> None:
    layer, sources = cut(GRAPH, tensor, frozenset(known))
    assert list(layer.inputs) == list(sources) == inputs
    assert layer.outputs == (tensor,)
    (computed,) = evaluate(layer, [VALUES[source] for source in sources.values()])
    assert np.array_equal(computed, VALUES[tensor])
    for node in layer.nodes_of(BinaryConv2d):
        assert isinstance(layer.producers(node)[0].op, Sign)


@pytest.mark.usefixtures("lce")
@pytest.mark.runtimes
def test_the_folder_runs_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "layer"
    write(folder, case("conv1", {"sign1"}, (0, 2, 3, 4)))
    assert [child.name for child in folder.parent.iterdir()] == ["layer"]
    assert sorted(child.name for child in folder.iterdir()) == [
        "README.txt", "a.npy", "b.npy", "input_0.npy", "layer.onnx", "layer.tflite", "layer.txt", "run.py",
    ]  # fmt: skip
    assert read_tflite(folder / "layer.tflite").op_counts()["LceBconv2d"] == 1
    stored: FloatArray = np.load(folder / "input_0.npy")
    assert np.array_equal(stored, VALUES["sign1"])
    right = VALUES["conv1"][0, 2, 3, 4]
    bits = f"0x{int(right.view(np.uint32)):08x}"
    text = (folder / "README.txt").read_text()
    assert "The first tensor that differs: conv1" in text
    # One side, the reference, ONNX Runtime, LiteRT and LCE.
    assert text.count(bits) == 5
    assert "B, net.tflite" in text
    assert "A computes what the reference executor does, B does not." in text
    assert "Every file of the layer alone is right" in text
    done = subprocess.run(
        [sys.executable, folder / "run.py"], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.splitlines() == [
        f"{name:<16} {bits}  {right!r}" for name in ("layer.onnx", "layer.tflite")
    ]


def test_signs_that_come_through_other_operators_stay_signs() -> None:
    nodes = [*GRAPH, Node("half", Slice(((0, 4, 1), (0, 9, 2), (0, 9, 2))), ("sign1",))]
    nodes.append(Node("conv3", BinaryConv2d(np.ones((1, 4, 1, 1), np.int8)), ("half",)))
    layer, sources = cut(Graph(nodes, ["conv3"]), "conv3", frozenset({"half"}))
    assert sources == {"half/recorded": "half"}
    assert isinstance(layer["half"].op, Sign)


@pytest.mark.runtimes
def test_a_layer_that_no_target_takes_is_written_all_the_same(tmp_path: Path) -> None:
    graph = Graph([Node("x", Input((2,))), Node("y", TorchSign(), ("x",))], ["y"])
    x = np.array([[0.5, -2.0]], np.float32)
    y = np.sign(x)
    write(tmp_path / "layer", Case(graph, "y", (0, 1), frozenset(), {"x": x}, ("a", y), ("b", -y)))
    names = {child.name for child in (tmp_path / "layer").iterdir()}
    assert names == {"README.txt", "layer.txt", "input_0.npy", "a.npy", "b.npy"}
    text = (tmp_path / "layer" / "README.txt").read_text()
    assert "There is no file for tflite: y (TorchSign) has no TFLite form" in text
    assert "There is no file for onnx: y: the operator TorchSign is not a deployed one" in text
    assert "run.py" not in text
    assert "A computes what the reference executor does, B does not." in text
    write(
        tmp_path / "both",
        Case(graph, "y", (0, 1), frozenset(), {"x": x}, ("a", np.float32(0) * y), ("b", -y)),
    )
    assert "Neither A nor B computes" in (tmp_path / "both" / "README.txt").read_text()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "new")
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match="name a new folder"):
            write(place, case("sum1", {"act1", "norm1"}, (0, 0, 0, 0)))
    with pytest.raises(UsageError, match="cannot write"):
        write(tmp_path / "file" / "below", case("sum1", {"act1", "norm1"}, (0, 0, 0, 0)))
    assert [child.name for child in tmp_path.iterdir()] == ["file"]


def test_inputs_of_the_graph_are_always_known() -> None:
    layer, _ = cut(GRAPH, "probabilities", frozenset())
    assert [node.name for node in layer.nodes_of(Input)] == ["image"]
    assert isinstance(layer, Graph)
