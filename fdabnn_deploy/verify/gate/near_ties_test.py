from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import fdabnn_deploy
from fdabnn_deploy.verify.gate.near_ties import NOISE

pytestmark = pytest.mark.runtimes


class Scaled(nn.Module):
    """A binary layer with a scale, straight in front of a sign, which ties where its sum is 0."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, bias=False)
        self.weight = nn.Parameter(torch.randn(8, 8, 3, 3) * 0.1)
        self.head = nn.Linear(8, 4)
        self.shift = shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.where(self.stem(x) < 0, -1.0, 1.0)
        weight = torch.where(self.weight < 0, -1.0, 1.0) * self.weight.abs().mean()
        x = F.conv2d(x, weight) - self.shift
        y: torch.Tensor = self.head(torch.where(x < 0, -1.0, 1.0).mean((2, 3)))
        return y


def test_roundings_of_a_scale_are_no_change_of_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Scaled().eval()
    with torch.no_grad():
        x = torch.where(module.stem(torch.rand(16, 3, 8, 8)) < 0, -1.0, 1.0)
        signs = torch.where(module.weight < 0, -1.0, 1.0)
        exact = F.conv2d(x.double(), signs.double())
        summed = F.conv2d(x, signs * module.weight.abs().mean())
    assert bool(((exact == 0) & (summed != 0)).any()), "no sum of this network is decided by its roundings"
    report = fdabnn_deploy.export(
        module, torch.zeros(1, 3, 8, 8), targets=["onnx"], out=tmp_path, samples="random:64", name="scaled"
    )
    assert report.verdict in {"verified", "not judged"}


def test_noise_is_some_roundings_of_float32() -> None:
    assert 2**-24 < NOISE < 100 * 2**-24
