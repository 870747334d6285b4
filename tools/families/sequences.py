"""Networks that take no images: points, and sound."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.estimators import clipped_sign


class BinaryConv1d(nn.Conv1d):
    """A 1-bit convolution of a sequence, with a scale per output channel."""

    def forward(self, x: Tensor) -> Tensor:
        weight = clipped_sign(self.weight) * self.weight.abs().mean((1, 2), keepdim=True).detach()
        return F.conv1d(clipped_sign(x), weight, None, self.stride, self.padding)


class PointNet(nn.Module):
    """Points [N, 3, P]: a shared network of points, their maximum, and scores (in the style of BiPointNet, Qin et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv1d(3, 32, 1), nn.BatchNorm1d(32)
        self.second, self.norm2 = BinaryConv1d(32, 64, 1, bias=False), nn.BatchNorm1d(64)
        self.third, self.norm3 = BinaryConv1d(64, 64, 1, bias=False), nn.BatchNorm1d(64)
        self.head = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm2(self.second(self.norm1(self.first(x))))
        x = torch.max(self.norm3(self.third(x)), 2)[0]
        y: Tensor = F.log_softmax(self.head(x), dim=1)
        return y


def pointnet() -> nn.Module:
    """See `PointNet`."""
    return PointNet()


def audio() -> nn.Module:
    """A 1-bit network of sound [N, 1, T]."""
    return nn.Sequential(
        nn.Conv1d(1, 32, 9, 4, 4), nn.BatchNorm1d(32), BinaryConv1d(32, 32, 5, 2, 2, bias=False), nn.BatchNorm1d(32), nn.PReLU(32),
        nn.MaxPool1d(2), BinaryConv1d(32, 32, 5, 2, 2, bias=False), nn.BatchNorm1d(32), nn.AdaptiveAvgPool1d(1), nn.Flatten(),
        nn.Linear(32, 4),
    )  # fmt: skip
