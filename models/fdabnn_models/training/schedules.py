"""Schedules of training: noise weight alpha, series length n, learning rate."""

from __future__ import annotations

import math

from torch import nn

from fdabnn_models.layers.binary import N_START, FDAConv2d, FDALinear

ALPHA_START = 0.1


def alpha_at(epoch: int, epochs: int) -> float:
    """Noise weight of epoch 0 .. epochs - 1: ``0.05 (1 + cos(pi (epoch + 1) / epochs))``, last exactly 0."""
    if epoch >= epochs - 1:
        return 0.0
    return ALPHA_START / 2 * (1 + math.cos(math.pi * (epoch + 1) / epochs))


def series_length_at(epoch: int, epochs: int, start: int = N_START) -> int:
    """Index n of the last series term: ``start`` in the first epoch, ``2 start`` in the last (paper, 3.2)."""
    return start + start * min(epoch, epochs - 1) // max(1, epochs - 1)


def learning_rate_at(step: int, steps: int, *, base: float, warmup: int = 0) -> float:
    """Learning rate of step 0 .. steps - 1: linear rise over ``warmup`` steps, then half a cosine to 0."""
    if step < warmup:
        return base * (step + 1) / (warmup + 1)
    return base / 2 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def set_epoch(model: nn.Module, epoch: int, epochs: int) -> None:
    """Set the buffers ``alpha`` and ``n`` of every FDA layer in place (a compiled model is not recompiled)."""
    alpha, n = alpha_at(epoch, epochs), series_length_at(epoch, epochs)
    for module in model.modules():
        if isinstance(module, (FDAConv2d, FDALinear)):
            module.alpha.fill_(alpha)
            module.n.fill_(n)
