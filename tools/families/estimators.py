"""Signs with gradients, written as trainers of binary networks write them."""

from __future__ import annotations

import torch
from torch import Tensor


def polynomial_sign(x: Tensor) -> Tensor:
    """Bi-Real's: the gradient is that of a piecewise polynomial (Liu et al. 2018, equation 6)."""
    above, below = (x >= 0).float(), (x < 0).float()
    inside = x.clamp(-1, 1)
    polynomial = below * (inside * inside + 2 * inside) + above * (2 * inside - inside * inside)
    return (torch.sign(x) - polynomial).detach() + polynomial


def clipped_sign(x: Tensor) -> Tensor:
    """The straight-through estimator of BinaryConnect, with the gradient of hardtanh; 0 counts as +1."""
    surrogate = torch.nn.functional.hardtanh(x)
    return surrogate + (torch.where(x < 0, -1.0, 1.0) - surrogate).detach()


def smooth_sign(x: Tensor) -> Tensor:
    """With the gradient of tanh."""
    surrogate = torch.tanh(2 * x)
    return surrogate - surrogate.detach() + torch.sign(x).detach()


def mended_sign(x: Tensor) -> Tensor:
    """A sign that mends zeros by an assignment, behind hardtanh's gradient."""
    y = torch.sign(x)
    y[y == 0] = 1
    surrogate = x.clamp(-1, 1)
    return (y - surrogate).detach() + surrogate
