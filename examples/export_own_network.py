"""Exports a binary network written in plain PyTorch, and compares the files bit for bit.

python examples/export_own_network.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

import fdabnn_deploy


def sign(x: torch.Tensor) -> torch.Tensor:
    """+1 for 0 and above, else -1. `torch.sign` would keep 0, for which one bit has no room."""
    return torch.where(x < 0, -1.0, 1.0)


class BinaryConv(nn.Module):
    """`conv(sign(x), sign(w)) * mean|w|`, the convolution of XNOR-Net."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, H, W] -> [N, outputs, H, W]."""
        scale = self.weight.abs().mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(sign(x), sign(self.weight) * scale, padding=1)


def network() -> nn.Module:
    """A float stem, two binary layers and a classifier, with random weights: yours would be trained."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        BinaryConv(16, 32),
        nn.BatchNorm2d(32),
        nn.MaxPool2d(2),
        BinaryConv(32, 32),
        nn.BatchNorm2d(32),
        nn.MaxPool2d(4),
        nn.Flatten(),
        nn.Linear(512, 10),
    ).eval()


def main(folder: Path) -> None:
    """Writes `small.onnx`, `small.tflite` and `small.capsule` into the folder."""
    report = fdabnn_deploy.export(
        network(),
        torch.zeros(1, 3, 32, 32),
        out=folder,
        name="small",
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        samples="random:16",
        capsule=folder / "small.capsule",
    )
    for layer in report.coverage:
        print(f"{layer.module:6} {'1 bit' if layer.one_bit else 'float'}")
    for file in report.artifacts:
        print(f"{Path(file.path).name}: {Path(file.path).stat().st_size} bytes")
    result = fdabnn_deploy.compare_models(folder / "small.onnx", folder / "small.tflite", "random:32")
    print(f"{result.comparison.differing} of {result.comparison.values} output values differ")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
