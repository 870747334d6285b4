"""Inputs to train and to compare the families on: CIFAR-10, and seeded points and sounds of four kinds."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
KINDS = 4


def cifar10(folder: Path, count: int) -> tuple[Tensor, Tensor]:
    """The first training images, normalised, and their classes."""
    from fdabnn_models.data.cifar10 import load_cifar10

    data = load_cifar10(folder)
    images = data.train_images[:count].float() / 255
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    return (images - mean) / std, data.train_labels[:count].long()


def points(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points [N, 3, 64] on a sphere, a cube, a ring or a line, turned and with noise."""
    g = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, KINDS, (count,), generator=g)
    raw = torch.randn(count, 3, 64, generator=g)
    sphere = raw / raw.norm(dim=1, keepdim=True)
    cube = raw / raw.abs().amax(1, keepdim=True)
    flat = raw * torch.tensor([1.0, 1.0, 0.0]).view(1, 3, 1)
    ring = flat / flat.norm(dim=1, keepdim=True)
    line = raw[:, :1] * torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1)
    shapes = torch.stack([sphere, cube, ring, line])[kinds, torch.arange(count)]
    rotations = torch.linalg.qr(torch.randn(count, 3, 3, generator=g))[0]
    return rotations @ shapes + torch.randn(count, 3, 64, generator=g) / 20, kinds


def sounds(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Sounds [N, 1, 512]: a low tone, a high one, one that rises, or noise."""
    g = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, KINDS, (count,), generator=g)
    time = torch.linspace(0, 1, 512).view(1, -1)
    pitch, phase = 1 + torch.rand(count, 1, generator=g) / 2, 2 * math.pi * torch.rand(count, 1, generator=g)
    low, high = (torch.sin(2 * math.pi * tone * pitch * time + phase) for tone in (8, 40))
    rising = torch.sin(2 * math.pi * 30 * pitch * time * time + phase)
    noise = torch.randn(count, 512, generator=g)
    tones = torch.stack([low, high, rising, noise])[kinds, torch.arange(count)]
    return (tones + torch.randn(count, 512, generator=g) / 4).unsqueeze(1), kinds
