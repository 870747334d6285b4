"""PReLU, batch norm and shortcut behind a convolution: one fused pass where training runs on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fdabnn_models.layers import fused


def prelu_norm(
    c: Tensor, prelu: nn.PReLU | None, norm: nn.BatchNorm2d, shortcut: Tensor | None = None
) -> Tensor:
    """``norm(prelu(c)) + shortcut``; (N, C, H, W), ``prelu`` and ``shortcut`` may be absent."""
    if norm.training and norm.track_running_stats and fused.serves(c, c.shape[1]):
        return _fused(c, prelu, norm, shortcut)
    y: Tensor = norm(c if prelu is None else prelu(c))
    return y if shortcut is None else y + shortcut


def _fused(c: Tensor, prelu: nn.PReLU | None, norm: nn.BatchNorm2d, shortcut: Tensor | None) -> Tensor:
    slope = torch.ones(1) if prelu is None else prelu.weight
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    rows = as_rows(c)
    y, mean, variance = fused.prelu_norm(
        rows,
        slope,
        norm.weight,
        norm.bias,
        None if shortcut is None else as_rows(shortcut.to(c.dtype)),
        shift=norm.running_mean,
        eps=norm.eps,
    )
    with torch.no_grad():
        count = rows.shape[0]
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / max(1, count - 1)), norm.momentum)
        norm.num_batches_tracked.add_(1)
    return from_rows(y, c)


def as_rows(x: Tensor) -> Tensor:
    """(N, C, H, W) as a contiguous matrix [N H W, C]; no copy where ``x`` is in channels-last memory."""
    return x.permute(0, 2, 3, 1).contiguous().view(-1, x.shape[1])


def from_rows(rows: Tensor, like: Tensor) -> Tensor:
    """The matrix as (N, C, H, W) of the shape of ``like``, in channels-last memory, without a copy."""
    n, channels, height, width = like.shape
    return rows.view(n, height, width, channels).permute(0, 3, 1, 2)
