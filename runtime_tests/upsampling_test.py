"""Networks that make images larger: proved, and all runtimes give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import fdabnn_deploy
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.targets.converter import Kernels
from fdabnn_models.layers.binary import FDAConv2d

pytestmark = pytest.mark.programs

SHAPE = (3, 12, 8)


class Enlarging(nn.Module):
    """A binary network with an operator that enlarges images in front of a binary layer, and one in front of a strided one."""

    def __init__(self, enlarge: Callable[[], nn.Module], channels: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16)
        self.first, self.second = enlarge(), enlarge()
        self.inner, self.inner_norm = FDAConv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.strided, self.last = FDAConv2d(channels, 8, 3, stride=2, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        small = self.norm(self.stem(x))
        large = self.inner_norm(self.inner(self.first(small)))
        scores: Tensor = self.last(self.strided(self.second(large)).mean((2, 3)))
        return scores


ENLARGING: dict[str, tuple[Callable[[], nn.Module], int, str, str]] = {
    "PixelShuffle": (lambda: nn.PixelShuffle(2), 4, "DepthToSpace", "DEPTH_TO_SPACE"),
    "Upsample": (lambda: nn.Upsample(scale_factor=2), 16, "Resize", "RESIZE_NEAREST_NEIGHBOR"),
    "Upsample by 3 and 1": (
        lambda: nn.Upsample(scale_factor=(3, 1)),
        16,
        "Resize",
        "RESIZE_NEAREST_NEIGHBOR",
    ),
    "nearest-exact": (
        lambda: nn.Upsample(scale_factor=3, mode="nearest-exact"),
        16,
        "Resize",
        "RESIZE_NEAREST_NEIGHBOR",
    ),
}
"""For each kind: its constructor, the channels it leaves of 16, and its names in ONNX and TFLite files."""


@pytest.mark.parametrize("kind", ENLARGING)
def test_every_file_is_proved_and_every_runtime_gives_the_same_bits(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    enlarge, channels, in_onnx, in_tflite = ENLARGING[kind]
    network = Enlarging(enlarge, channels).train()
    with torch.no_grad():
        network(torch.randn(16, *SHAPE))
    paths = []
    exports: list[tuple[list[str], Kernels]] = [(["onnx", "tflite"], "standard"), (["onnx"], "packed")]
    for targets, kernels in exports:
        report = fdabnn_deploy.export(
            *(network.eval(), torch.zeros(1, *SHAPE)),
            targets=targets, out=tmp_path, samples="random:20", name=kernels, kernels=kernels,
        )  # fmt: skip
        assert report.failures == ()
        assert report.parity
        assert all(row.comparison.differing == 0 for row in report.parity)
        assert report.proofs
        assert all(proof.proved for proof in report.proofs)
        for artifact in report.artifacts:
            name = in_tflite if artifact.target == "tflite" else in_onnx
            assert artifact.op_counts[name] == 2
            paths.append(Path(artifact.path))
    inputs = [np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)]
    results = [registry.for_file(path).open(path).run(inputs)[0].view(np.uint32) for path in paths]
    assert all(np.array_equal(found, results[0]) for found in results[1:])


def test_a_shuffle_that_mixes_the_batch_is_refused() -> None:
    class Rows(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            rows: Tensor = nn.functional.pixel_shuffle(x[:, 0], 1)
            return rows

    with pytest.raises(fdabnn_deploy.ModelRefusedError, match="PixelShuffle of 3 dimensions"):
        fdabnn_deploy.export(Rows().eval(), torch.zeros(1, 3, 4, 4), targets=["onnx"], samples="random:2")


@pytest.mark.parametrize("factor", [1.5, 0.5, 41.0])
def test_an_upsampling_whose_neighbours_runtimes_choose_differently_is_refused(factor: float) -> None:
    network = nn.Upsample(scale_factor=factor).eval()
    with pytest.raises(fdabnn_deploy.ModelRefusedError, match="upsampl"):
        fdabnn_deploy.export(network, torch.zeros(1, 3, 4, 4), targets=["onnx"], samples="random:2")
