from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.transforms.signs.step_functions import outermost
from fdabnn_deploy.transforms.signs.structural_zeros import structural_zeros


class Binary(nn.Module):
    def __init__(self, inputs: int, size: int = 3, padding: int = 0, bias: bool = False) -> None:
        super().__init__()
        self.padding = padding
        self.weight = nn.Parameter(torch.randn(4, inputs, size, size))
        self.bias = nn.Parameter(torch.full((4,), 0.3)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(torch.where(x < 0, -1.0, 1.0), torch.sign(self.weight), self.bias, 1, self.padding)


class Padded(nn.Module):
    def __init__(self, *amounts: int) -> None:
        super().__init__()
        self.amounts = amounts

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.amounts)


class Sign(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x)


class Residual(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x[:, :, :3]) + torch.where(x[:, :, 3:] > 0, 1.0, -1.0)


def trained_norm(channels: int) -> nn.Module:
    norm = nn.BatchNorm2d(channels)
    norm.running_mean = torch.randn(channels)
    return norm


def dead_channel() -> nn.Module:
    conv = nn.Conv2d(3, 4, 3, bias=False)
    conv.weight.data[1] = 0
    return conv


def dead_norm() -> nn.Module:
    norm = nn.BatchNorm2d(3)
    norm.weight.data[0] = norm.bias.data[0] = 0
    return norm


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (nn.ReLU(), "behind a ReLU"),
        (nn.ReLU6(), "behind a ReLU"),
        (nn.Hardtanh(-1.0, 0.0), "behind a ReLU"),
        (nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)), "behind a ReLU"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)), "behind a ReLU"),
        (nn.Sequential(nn.ReLU(), trained_norm(3)), ""),
        (nn.LeakyReLU(0.1), ""),
        (Padded(1, 1), "zero padding"),
        (Padded(0, 0, 0, 0, 1, 2), "channels of zeros"),
        (
            nn.Sequential(nn.ReLU(), Padded(1, 1, 1, 1, 0, 1)),
            "channels of zeros, zero padding, behind a ReLU",
        ),
        (dead_channel(), "channels of zeros"),
        (dead_norm(), "channels of zeros"),
        (Binary(3), ""),  # 27 products of +-1
        (Binary(3, padding=1), "sums of integers"),
        (Binary(3, size=2), "sums of integers"),
        (Binary(3, size=2, bias=True), ""),
        (nn.Sequential(Binary(3, size=2), nn.AvgPool2d(2)), "sums of integers"),
        (nn.Sequential(Binary(3, size=2), trained_norm(4)), ""),
        (Residual(), "sums of integers"),
        (nn.Conv2d(3, 4, 3), ""),
    ],
)
def test_reasons(module: nn.Module, reason: str) -> None:
    torch.manual_seed(0)
    captured = capture(nn.Sequential(module, Sign()).eval(), (3, 6, 6))
    steps = {
        name: step for name, step in outermost(captured.graph).items() if captured.graph[name].module == "1"
    }
    found = structural_zeros(captured.graph, steps)
    assert found == ({"1": reason} if reason else {})
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(8, 3, 6, 6)).astype(np.float32))
    zeros = int((module.eval()(x) == 0).sum())
    assert (zeros > 0) == bool(reason)
