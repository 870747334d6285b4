"""A trained bias that is repeated over an image: one number per channel."""

from typing import Any

import torch
from small import BinaryConv, export
from torch import Tensor, nn


class Biased(nn.Module):
    """A bias in front of a sign, by expand_as."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(0.1 * torch.randn(1, 32, 1, 1))
        self.conv = BinaryConv(32, 32, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.conv(x + self.bias.expand_as(x))


def run() -> Any:
    """Exports it."""
    return export(Biased)
