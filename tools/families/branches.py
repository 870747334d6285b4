"""Networks whose 1-bit layers stand in several branches: MobileNet with duplicated channels, and concatenation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from families.residual import BiRealConv, LearnableBias


class ReActMobileBlock(nn.Module):
    """ReActNet on MobileNet: a 3x3 layer, and two 1x1 layers whose results are joined where channels double (Liu et al. 2020)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shift, self.conv = LearnableBias(inputs), BiRealConv(inputs, inputs, 3, stride, 1, bias=False)
        self.norm, self.act = nn.BatchNorm2d(inputs), nn.PReLU(inputs)
        self.down: nn.Module = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.next = LearnableBias(inputs)
        self.points = nn.ModuleList(
            BiRealConv(inputs, inputs, 1, bias=False) for _ in range(outputs // inputs)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(inputs) for _ in range(outputs // inputs))
        self.last = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm(self.conv(self.shift(x))) + self.down(x))
        shifted = self.next(y)
        parts = [norm(point(shifted)) + y for point, norm in zip(self.points, self.norms, strict=True)]
        z: Tensor = self.last(torch.cat(parts, dim=1))
        return z


def react_mobilenet() -> nn.Module:
    """A stem, two blocks, and scores."""
    blocks = [ReActMobileBlock(*sizes) for sizes in ((16, 32, 1), (32, 32, 2))]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), *blocks, *head)


class DenseLayer(nn.Module):
    """New channels are joined to what is there (Bethge et al. 2019); one more layer improves the new ones (MeliusNet)."""

    def __init__(self, channels: int, new: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(channels), BiRealConv(channels, new, 3, 1, 1, bias=False)
        self.again, self.better = (
            nn.BatchNorm2d(channels + new),
            BiRealConv(channels + new, new, 3, 1, 1, bias=False),
        )
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x, self.conv(self.norm(x))], dim=1)
        improved = x[:, self.channels :] + self.better(self.again(x))
        return torch.cat([x[:, : self.channels], improved], dim=1)


def densenet() -> nn.Module:
    """A stem, two such layers, a reduction, one more, and scores."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), DenseLayer(16, 16), DenseLayer(32, 8), nn.MaxPool2d(2),
        nn.BatchNorm2d(40), nn.ReLU(), nn.Conv2d(40, 32, 1, bias=False), DenseLayer(32, 8), nn.BatchNorm2d(40), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 10),
    )  # fmt: skip
