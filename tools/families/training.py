"""Trains the networks, for minutes in all: they show how layers are written, not how well they can be trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families import data
from families.families_list import CHECKPOINTS, Family

_IMAGES, _OTHERS, _BATCH, _RATE = 10_000, 4_000, 100, 5e-3


def train(family: Family, folder: Path, epochs: int, report: Callable[[str], None]) -> None:
    """Trains a network from its seed and writes its checkpoint."""
    torch.manual_seed(0)
    inputs, labels = examples(family, folder)
    network = family.make().train()
    optimizer = torch.optim.Adam(network.parameters(), _RATE)
    steps = epochs * (len(inputs) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    right = 0
    for epoch in range(epochs):
        order, right = torch.randperm(len(inputs)), 0
        for start in range(0, len(inputs) - _BATCH + 1, _BATCH):
            chosen = order[start : start + _BATCH]
            right += _step(network, optimizer, inputs[chosen], labels[chosen])
            schedule.step()
        report(
            f"{family.name}: epoch {epoch + 1} of {epochs}, {right / len(inputs):.1%} of the training inputs"
        )
    CHECKPOINTS.mkdir(parents=True, exist_ok=True)
    torch.save(_latent(network).state_dict(), CHECKPOINTS / f"{family.name}.pt")


def examples(family: Family, folder: Path) -> tuple[Tensor, Tensor]:
    """Inputs and classes to train on."""
    if family.data == "images":
        return data.cifar10(folder, _IMAGES)
    return data.points(_OTHERS) if family.data == "points" else data.sounds(_OTHERS)


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, labels: Tensor) -> int:
    scores = network(inputs.clone())
    loss = F.cross_entropy(scores, labels)
    optimizer.zero_grad()
    loss.backward()
    _latent(network)
    optimizer.step()
    for parameter in network.parameters():
        if hasattr(parameter, "org"):
            # BinaryNet's: the optimizer moves the latent weight, which stays between -1 and 1.
            parameter.org.copy_(parameter.data.clamp_(-1, 1))
    return int((scores.argmax(1) == labels).sum())


def _latent(network: nn.Module) -> nn.Module:
    """Puts latent weights that are kept on parameters in the place of the binarised ones."""
    for parameter in network.parameters():
        kept: Any = getattr(parameter, "org", None)
        if kept is not None:
            parameter.data.copy_(kept)
    return network
