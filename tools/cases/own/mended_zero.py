"""A sign whose zeros are set to +1 afterwards: one sign."""

from typing import Any

import torch
from small import export, sign
from torch import Tensor, nn
from torch.nn import functional as F


class Mended(nn.Conv2d):
    """y = sign(x), then y[y == 0] = 1."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = torch.sign(x)
        y = torch.where(y == 0, torch.ones_like(y), y)
        return F.conv2d(y, sign(self.weight), None, 1, 1)


def run() -> Any:
    """Exports it."""
    return export(lambda: Mended(32, 32, 3, bias=False))
