"""A 1-bit convolution of a sequence, as audio networks have: [N, C, L]."""

import tempfile
from typing import Any

import torch
from small import sign
from torch import Tensor, nn
from torch.nn import functional as F

import fdabnn_deploy


class BinaryConv1d(nn.Conv1d):
    """A convolution of signs with signs."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return F.conv1d(sign(x), sign(self.weight), None, self.stride, self.padding)


def run() -> Any:
    """Exports it."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(8, 32, 5, 2), nn.BatchNorm1d(32), BinaryConv1d(32, 32, 3, padding=1, bias=False), nn.BatchNorm1d(32), nn.PReLU(32),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 10), nn.LogSoftmax(1),
    )  # fmt: skip
    for _ in range(4):
        net(torch.randn(16, 8, 64))
    return fdabnn_deploy.export(
        net.eval(),
        torch.zeros(1, 8, 64),
        targets="all",
        out=tempfile.mkdtemp(),
        samples="random:32",
        input_range=(-4, 4),
        name="case",
    )
