from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import BinaryConv2d, Clamp, MaxPool2d, PRelu, Sign
from fdabnn_deploy.measure.baselines.drop_signs import drop_signs, fill_weights
from fdabnn_deploy.measure.baselines.float_network import BINARY, Network
from fdabnn_deploy.measure.baselines.small_files_testing import affine, binary, conv, read_network, write
from fdabnn_deploy.transforms.pass_testing import Build

pytestmark = pytest.mark.runtimes

pytest.importorskip("onnx")


def network_of(graph: Graph, folder: Path, suffix: str = ".onnx") -> Network:
    network = read_network(write(graph, folder / f"model{suffix}"))
    drop_signs(network)
    return network


def kinds(network: Network) -> list[str]:
    return [item.step.kind for item in network.items]


def two_layers(padding_value: int = 0) -> Graph:
    build = Build(64, 8, 8)
    y = build(binary(64, 32, padding_value=padding_value), build(Sign(), "x"))
    y = build(MaxPool2d((2, 2), (2, 2)), build(Sign(), build(affine(32), y)))
    return build.graph(build(binary(32, 16, stride=2, padding_value=padding_value), y))


def test_signs_go_and_layers_stay(tmp_path: Path) -> None:
    network = network_of(two_layers(), tmp_path)
    assert kinds(network) == ["linear", "mul", "add", "maximum", "linear"]
    layers = [
        item.step.attributes["weight"].shape for item in network.items if BINARY in item.step.attributes
    ]
    assert layers == [(32, 64, 9), (16, 32, 9)]
    assert [layer.name for layer in network.layers] == ["binaryconv2d2", "binaryconv2d6"]


def test_packed_words_become_weights(tmp_path: Path) -> None:
    network = network_of(two_layers(padding_value=1), tmp_path, ".tflite")
    layers = [item.step for item in network.items if BINARY in item.step.attributes]
    assert [step.attributes["weight"].shape for step in layers] == [(32, 64, 9), (16, 32, 9)]
    assert all(step.attributes["windows"].pads == "SAME" for step in layers[:1])
    assert not {"quantize", "dequantize", "bconv", "select"} & set(kinds(network))


def test_padding_with_ones_becomes_the_layers_own(tmp_path: Path) -> None:
    network = network_of(two_layers(padding_value=1), tmp_path)
    assert "pad" not in kinds(network)
    layers = [item.step for item in network.items if BINARY in item.step.attributes]
    assert [step.attributes["windows"].pads for step in layers] == [((1, 1), (1, 1))] * 2


def test_channels_that_fill_groups_go(tmp_path: Path) -> None:
    build = Build(32, 8, 8)
    weight = np.ones((32, 8, 3, 3), dtype=np.int8)
    y = build(BinaryConv2d(weight, padding=(1, 1), groups=4), build(Sign(), "x"))
    file = write(build.graph(build(affine(32), y)), tmp_path / "model.onnx", kernels="packed")
    network = read_network(file)
    assert "pad" in kinds(network)
    drop_signs(network)
    assert kinds(network)[0] == "linear"
    assert not {"pad", "reshape"} & set(kinds(network))
    assert network.items[0].step.attributes["weight"].shape == (32, 8, 9)
    assert network.items[0].step.inputs == ("x",)


def test_float_layers_are_no_binary_ones(tmp_path: Path) -> None:
    build = Build(4, 8, 8)
    # Weights of one magnitude alone make no binary layer, nor do signs in front of other weights.
    ones = binary(4, 6)
    y = build(conv(4, 4), build(Sign(), "x"))
    y = build(binary(4, 6), build(Sign(), build(Clamp(-1.0, 1.0), y)))
    network = network_of(build.graph(y), tmp_path)
    assert ones.weight.shape == (6, 4, 3, 3)
    assert [layer.name for layer in network.layers] == ["binaryconv2d5"]


def test_new_weights_keep_the_variance(tmp_path: Path) -> None:
    build = Build(64, 16, 16)
    y = "x"
    for _ in range(24):
        y = build(PRelu(np.array(0.5, dtype=np.float32)), build(binary(64, 64), build(Sign(), y)))
    network = network_of(build.graph(y), tmp_path)
    fill_weights(network)
    weights = [item.step.attributes["weight"] for item in network.items if BINARY in item.step.attributes]
    assert len(weights) == 24
    for weight in weights:
        assert weight.dtype == np.float32
        assert np.abs(weight).min() > 0.1 * np.abs(weight).max()
        assert 0.9 < np.square(weight).sum(axis=(1, 2)).mean() < 1.1
    assert not np.array_equal(weights[0], weights[1])
    again = network_of(build.graph(y), tmp_path)
    fill_weights(again)
    assert np.array_equal(again.items[0].step.attributes["weight"], weights[0])
