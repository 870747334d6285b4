from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from fdabnn_deploy.errors import NotWrittenError
from fdabnn_models.checkpoint import FORMAT_VERSION, save_checkpoint, write_torch


def test_checkpoint_loads_without_running_code(tmp_path: Path) -> None:
    path = tmp_path / "new" / "net.pt"
    weight = torch.randn(4, 3, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    save_checkpoint(
        path,
        arch="resnet20",
        arch_args={"num_classes": 2},
        state_dict={"conv.weight": weight},
        training={"epochs": 3, "seed": 0},
        input_shape=(3, 32, 32),
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        input_range=(-2.0, 2.0),
        classes=("cat", "dog"),
        ranges={"bn1": {"min": -1.0, "max": 1.5}},
    )
    content = torch.load(path, weights_only=True)
    stored = content.pop("state_dict")["conv.weight"]
    assert torch.equal(stored, weight)
    assert stored.is_contiguous()
    assert not stored.requires_grad
    assert content == {
        "format_version": FORMAT_VERSION,
        "arch": "resnet20",
        "arch_args": {"num_classes": 2},
        "training": {"epochs": 3, "seed": 0},
        "input_shape": [3, 32, 32],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "input_range": [-2.0, 2.0],
        "classes": ["cat", "dog"],
        "ranges": {"bn1": {"min": -1.0, "max": 1.5}},
    }


def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotWrittenError, match=r"cannot write .*net\.pt: No space left on device"):
        write_torch(path, {"a": torch.zeros(3)})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
