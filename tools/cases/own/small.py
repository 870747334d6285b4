"""Shared by the cases: binary layers as people write them, and the call of the export. Not a case itself."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fdabnn_deploy

SHAPE = (3, 12, 12)
MEAN, STD = [0.5] * 3, [0.25] * 3


def sign(x: Tensor) -> Tensor:
    """+1 and -1, where 0 is +1."""
    return torch.where(x < 0, -1.0, 1.0)


class BinaryConv(nn.Conv2d):
    """A convolution of signs with signs."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.conv2d(sign(x), sign(self.weight), None, self.stride, self.padding)


class Net(nn.Module):
    """A float convolution, what a case puts behind it, and scores of ten classes.

    Args:
        middle: from 32 channels to 32.
        tail: what becomes of the scores.
    """

    def __init__(self, middle: nn.Module, tail: Callable[[Tensor], Any] | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32))
        self.middle = middle
        self.head = nn.Sequential(
            nn.BatchNorm2d(32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
        )
        self.tail = tail

    def forward(self, x: Tensor) -> Any:
        """See the class."""
        scores = self.head(self.middle(self.stem(x)))
        return scores if self.tail is None else self.tail(scores)


def trained(middle: nn.Module, tail: Callable[[Tensor], Any] | None = None) -> nn.Module:
    """The network with statistics of some batches, in eval mode: without them its decisions mean nothing."""
    net = Net(middle, tail)
    for _ in range(4):
        net(torch.randn(16, *SHAPE))
    return net.eval()


def export(
    middle: Callable[[], nn.Module], tail: Callable[[Tensor], Any] | None = None, **options: Any
) -> Any:
    """Exports the network to ONNX in a folder for once.

    Args:
        middle: makes the part in question.
        tail: see `Net`.
        **options: of `fdabnn_deploy.export`.
    """
    torch.manual_seed(0)
    net = trained(middle(), tail)
    arguments: dict[str, Any] = {
        "targets": "onnx",
        "samples": "random:32",
        "mean": MEAN,
        "std": STD,
        "name": "case",
    }
    return fdabnn_deploy.export(
        net, torch.zeros(1, *SHAPE), out=tempfile.mkdtemp(), **{**arguments, **options}
    )
