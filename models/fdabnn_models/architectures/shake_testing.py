"""Random networks that behave like trained ones, for tests and counts where no checkpoint is."""

from __future__ import annotations

import torch
from torch import nn

from fdabnn_deploy.data.images import synthetic


def shake(module: nn.Module, *, alpha: float, seed: int = 0) -> nn.Module:
    """Gives a fresh network the statistics of a trained one: negative and zero gammas, uneven variances, every class."""
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in module.named_buffers():
        if name.endswith("alpha"):
            buffer.fill_(alpha)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 0.8, 0.5, generator=generator)
            nn.init.normal_(layer.bias, 0, 0.5, generator=generator)
            layer.weight.data[0] = 0.0
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, 0, 0.5, generator=generator)
            nn.init.uniform_(layer.running_var, 0.2, 3.0, generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 1, generator=generator)
    module.eval()
    images = torch.from_numpy(synthetic(32, (3, 32, 32), seed=1)).float() / 64 - 2
    with torch.no_grad():
        last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
        last.bias.sub_(module(images).mean(dim=0))
    return module
