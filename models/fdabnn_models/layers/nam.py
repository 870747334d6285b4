"""Noise adaptation module of FDA-BNN (Xu et al. 2021, arXiv 2103.00841, equations 13 to 15)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ETA = 0.1
REDUCTION = 64


class NoiseAdaptation(nn.Module):
    """``e(t) = relu(t W1) W2 + 0.1 sin(t)`` over the last dimension, without bias.

    Shapes: ``t`` (..., d), ``fc1.weight`` (h, d), ``fc2.weight`` (d, h) with ``h = max(1, d // k)``, k = 64;
    the result has the shape of ``t``. ``h`` is at least 1: an empty weight would leave only the sine.
    """

    def __init__(self, features: int, reduction: int = REDUCTION) -> None:
        super().__init__()
        hidden = max(1, features // reduction)
        self.fc1 = nn.Linear(features, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, features, bias=False)

    def forward(self, t: Tensor) -> Tensor:
        if self.fc1.out_features == 1:
            # A product with one column: written element-wise, a compiler fuses it with the sign and the sine.
            hidden = F.relu((t * self.fc1.weight[0]).sum(-1, keepdim=True))
            return hidden * self.fc2.weight[:, 0] + ETA * torch.sin(t)
        correction: Tensor = self.fc2(F.relu(self.fc1(t)))
        return correction + ETA * torch.sin(t)
