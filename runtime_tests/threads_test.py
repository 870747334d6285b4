"""Two threads of one program export at once: each gets its own files, and the process is left as it was."""

from __future__ import annotations

import logging
import threading
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fdabnn_deploy


class Binary(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(torch.where(x < 0, -1.0, 1.0), torch.where(self.weight < 0, -1.0, 1.0))


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers = [
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        Binary(8, 8, 3, bias=False),
        nn.Flatten(),
        nn.Linear(128, 4),
    ]
    return nn.Sequential(*layers).eval()


def export(folder: Path, module: nn.Module) -> bytes:
    fdabnn_deploy.export(
        module, torch.zeros(1, 3, 8, 8), targets="onnx", out=folder, samples="random:4", name="net",
        mean=[0.5] * 3, std=[0.25] * 3,
    )  # fmt: skip
    return (folder / "net.onnx").read_bytes()


def test_two_threads_export_what_one_does(tmp_path: Path) -> None:
    filters, level = list(warnings.filters), logging.root.manager.disable
    made: dict[int, bytes] = {}
    # Made before: all threads draw weights from one generator.
    networks = {seed: network(seed) for seed in (1, 2)}

    def work(seed: int) -> None:
        made[seed] = export(tmp_path / f"thread{seed}", networks[seed])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == {seed: export(tmp_path / f"alone{seed}", networks[seed]) for seed in (1, 2)}
    assert (warnings.filters, logging.root.manager.disable) == (filters, level)
