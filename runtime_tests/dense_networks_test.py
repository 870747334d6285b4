"""Networks of binary dense layers: every one is 1-bit in every file, and all runtimes give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import fdabnn_deploy
from fdabnn_deploy.pipeline.report import Report
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.emulator.arm_root import Guest
from fdabnn_deploy.runtimes.emulator.qemu_aarch64 import QemuRuntime
from fdabnn_models.layers.binary import FDAConv2d, FDALinear
from fdabnn_tflite.runtime.tflite_file import INT32, parse_tflite

pytestmark = pytest.mark.programs

SAMPLES = "random:40"


class Shortcut(nn.Module):
    """A dense layer with a shortcut over it, and one that reads the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.norm, self.last = FDALinear(48, 48), nn.BatchNorm1d(48), FDALinear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.norm(self.inner(x)) + x)
        return y


@dataclass(frozen=True)
class Network:
    """A network of binary dense layers.

    Attributes:
        layers: a fresh network.
        shape: of its input.
        binary: how many of its layers are 1-bit.
        handed_on: of these, how many write nothing but signs.
    """

    layers: nn.Module
    shape: tuple[int, ...]
    binary: int
    handed_on: int


def networks() -> dict[str, Network]:
    """By name, with random weights and batch norm statistics of noise; negative gammas among them."""
    torch.manual_seed(0)
    found = {
        "multilayer perceptron": Network(
            nn.Sequential(
                nn.Flatten(),
                *(FDALinear(144, 200), nn.BatchNorm1d(200), nn.Hardtanh()),
                *(FDALinear(200, 70), nn.BatchNorm1d(70), nn.Hardtanh()),
                FDALinear(70, 10),
            ),
            *((1, 12, 12), 3, 2),
        ),
        "prelu and scales by channel": Network(
            nn.Sequential(
                *(FDALinear(100, 65, scale="channel"), nn.PReLU(), nn.BatchNorm1d(65)),
                *(FDALinear(65, 33, scale="channel"), nn.PReLU(33), nn.BatchNorm1d(33)),
                *(FDALinear(33, 7), nn.BatchNorm1d(7)),
            ),
            *((100,), 3, 2),
        ),
        "biases": Network(
            nn.Sequential(FDALinear(64, 64, bias=True), FDALinear(64, 31, bias=True)), (64,), 2, 1
        ),
        "a shortcut": Network(Shortcut(), (48,), 2, 0),
        "behind a flattened image": Network(
            nn.Sequential(
                *(nn.Conv2d(3, 20, 3, padding=1), nn.BatchNorm2d(20)),
                *(FDAConv2d(20, 36, 3, padding=1, stride=2), nn.BatchNorm2d(36), nn.Hardtanh()),
                *(nn.Flatten(), FDALinear(36 * 6 * 5, 50), nn.BatchNorm1d(50), nn.Linear(50, 10)),
            ),
            *((3, 12, 10), 2, 0),
        ),
    }
    generator = torch.Generator().manual_seed(1)
    for network in found.values():
        for layer in network.layers.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 0.7, 0.5, generator=generator)
                nn.init.normal_(layer.bias, 0, 0.3, generator=generator)
                layer.momentum = None
            elif isinstance(layer, FDALinear) and layer.bias is not None:
                nn.init.normal_(layer.bias, 0, 0.3, generator=generator)
        network.layers.train()
        with torch.no_grad():
            network.layers(torch.randn(64, *network.shape, generator=generator))
        network.layers.eval()
    return found


NETWORKS = networks()


Exported = tuple[Network, Report, Report]
"""A network with the reports of its standard and of its packed export."""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Exports a network by its name, once."""

    @cache
    def exported(name: str) -> Exported:
        network, out = NETWORKS[name], tmp_path_factory.mktemp("dense")

        def write(targets: list[str], kernels: Literal["standard", "packed"]) -> Report:
            return fdabnn_deploy.export(
                *(network.layers, torch.zeros(1, *network.shape)),
                targets=targets, out=out, samples=SAMPLES, name=kernels, kernels=kernels,
            )  # fmt: skip

        return network, write(["onnx", "tflite"], "standard"), write(["onnx"], "packed")

    return exported


@pytest.fixture(params=NETWORKS)
def exported(request: pytest.FixtureRequest, export: Callable[[str], Exported]) -> Exported:
    """Each network."""
    return export(request.param)


def test_every_file_is_verified_and_proved(exported: Exported) -> None:
    for report in exported[1:]:
        assert report.failures == ()
        assert report.parity
        assert all(row.comparison.differing == 0 for row in report.parity)
        assert report.proofs
        assert all(proof.proved for proof in report.proofs)


def test_every_layer_is_one_bit_in_every_file(exported: Exported) -> None:
    network, standard, packed = exported
    onnx_file, tflite_file = (artifact.op_counts for artifact in standard.artifacts)
    assert sum(count for name, count in onnx_file.items() if "1-bit" in name) == network.binary
    assert tflite_file["LceBconv2d"] == network.binary
    (packed_file,) = (artifact.op_counts for artifact in packed.artifacts)
    assert packed_file["BinaryConv (1-bit)"] == network.binary


def test_layers_hand_signs_on(exported: Exported) -> None:
    network, standard, packed = exported
    file = parse_tflite(Path(standard.artifacts[1].path).read_bytes())
    writers = [op for op in file.operators if op.name == "LceBconv2d"]
    assert sum(file.tensors[op.outputs[0]].type == INT32 for op in writers) == network.handed_on
    layers = [node for node in onnx.load(packed.artifacts[0].path).graph.node if node.op_type == "BinaryConv"]
    assert sum(not node.output[0] for node in layers) == network.handed_on


@pytest.mark.parametrize("count", [1, 5, 33])
def test_batches_give_equal_bits(exported: Exported, count: int) -> None:
    network, standard, packed = exported
    inputs = [np.random.default_rng(count).normal(size=(count, *network.shape)).astype(np.float32)]
    paths = [Path(artifact.path) for report in (standard, packed) for artifact in report.artifacts]
    results = [registry.for_file(path).open(path).run(inputs)[0] for path in paths]
    for path, found in zip(paths[1:], results[1:], strict=True):
        np.testing.assert_array_equal(found, results[0], err_msg=path.name)


def test_arm_gives_the_same_bits(export: Callable[[str], Exported], arm_guest: Guest) -> None:
    network, standard, packed = export("behind a flattened image")
    inputs = [np.random.default_rng(0).normal(size=(3, *network.shape)).astype(np.float32)]
    for artifact in (*standard.artifacts, *packed.artifacts):
        path = Path(artifact.path)
        (expected,) = registry.for_file(path).open(path).run(inputs)
        (found,) = QemuRuntime().open(path).run(inputs)
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32), err_msg=path.name)
