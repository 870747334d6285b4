"""x > 4 on integer sums: their equality with 4 is frequent, and is not above it."""

from typing import Any

import torch
from small import BinaryConv, export
from torch import Tensor, nn


class Strict(nn.Module):
    """Two binary layers with a strict comparison between them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = BinaryConv(32, 32, 3, padding=1, bias=False)
        self.second = BinaryConv(32, 32, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.second(torch.where(self.first(x) > 4, 1.0, -1.0))


def run() -> Any:
    """Exports it."""
    return export(Strict)
