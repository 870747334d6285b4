"""Plain convolutional networks: BinaryNet, XNOR-Net, DoReFa, and layers that mend the zeros of their signs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.estimators import clipped_sign, mended_sign


class Assigned(nn.Conv2d):
    """BinaryNet's: signs are assigned to `.data`, the trained weight is kept on the parameter."""

    def forward(self, x: Tensor) -> Tensor:
        weight: Any = self.weight
        if not hasattr(weight, "org"):
            weight.org = weight.data.clone()
        if x.size(1) != 3:
            x.data = torch.where(x.data < 0, -1.0, 1.0)
        weight.data = torch.sign(weight.org)
        return F.conv2d(x, weight, None, self.stride, self.padding)


class AssignedDense(nn.Linear):
    """The same of a dense layer."""

    def forward(self, x: Tensor) -> Tensor:
        weight: Any = self.weight
        if not hasattr(weight, "org"):
            weight.org = weight.data.clone()
        x.data = torch.where(x.data < 0, -1.0, 1.0)
        weight.data = torch.sign(weight.org)
        return F.linear(x, weight)


def binarynet() -> nn.Module:
    """Courbariaux et al. 2016, with a 5x5 convolution and dense layers."""
    return nn.Sequential(
        Assigned(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.Hardtanh(), Assigned(32, 16, 5, 1, 2, bias=False), nn.MaxPool2d(2),
        nn.BatchNorm2d(16), nn.Hardtanh(), nn.MaxPool2d(2), nn.Flatten(), AssignedDense(256, 32, bias=False), nn.BatchNorm1d(32),
        nn.Hardtanh(), AssignedDense(32, 10, bias=False), nn.BatchNorm1d(10), nn.LogSoftmax(dim=1),
    )  # fmt: skip


class XnorConv(nn.Conv2d):
    """XNOR-Net's: norm, sign, and mean magnitudes of weights and inputs as scales (Rastegari et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, padding: int) -> None:
        super().__init__(inputs, outputs, kernel, 1, padding)
        self.norm = nn.BatchNorm2d(inputs, eps=1e-4, momentum=0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        rows, padded = self.kernel_size[0], self.kernel_size[0] // 2
        scale = F.avg_pool2d(x.abs().mean(1, keepdim=True), rows, 1, padded)
        centred = self.weight - self.weight.mean(1, keepdim=True)
        weight = clipped_sign(centred) * centred.abs().mean((1, 2, 3), keepdim=True)
        return F.relu(F.conv2d(clipped_sign(x), weight, self.bias, 1, self.padding) * scale)


def xnornet() -> nn.Module:
    """A stem, two such layers, and scores by a 1x1 convolution."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 5, 2, 2), nn.BatchNorm2d(32), nn.ReLU(), XnorConv(32, 32, 1, 0), nn.MaxPool2d(3, 2, 1), XnorConv(32, 32, 3, 1),
        nn.BatchNorm2d(32), nn.Conv2d(32, 10, 1), nn.AvgPool2d(8, 1), nn.Flatten(),
    )  # fmt: skip


class DoReFaConv(nn.Conv2d):
    """One bit for both sides: activations of 0 and 1, one scale for all weights (Zhou et al. 2016)."""

    def forward(self, x: Tensor) -> Tensor:
        clamped = x.clamp(0, 1)
        x = clamped + ((clamped > 0.5).float() - clamped).detach()
        scale = self.weight.abs().mean().detach()
        weight = clipped_sign(self.weight / scale) * scale
        return F.conv2d(x, weight, None, self.stride, self.padding)


def dorefa() -> nn.Module:
    """A stem and two such layers."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), DoReFaConv(32, 32, 3, 1, 1, bias=False), nn.MaxPool2d(2), nn.BatchNorm2d(32),
        DoReFaConv(32, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


class QuantConv(nn.Conv2d):
    """In the style of bitorch: zeros of signs are mended, padding is -1."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(mended_sign(x), (1, 1, 1, 1), value=-1.0)
        return F.conv2d(x, mended_sign(self.weight), None, self.stride)


def mended() -> nn.Module:
    """A stem and two such layers."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1), nn.BatchNorm2d(32), QuantConv(32, 32, 3, bias=False), nn.BatchNorm2d(32), nn.PReLU(), nn.MaxPool2d(2),
        QuantConv(32, 32, 3, 2, bias=False), nn.BatchNorm2d(32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip
