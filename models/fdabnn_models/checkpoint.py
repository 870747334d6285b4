"""Writing the project's checkpoint format (docs/checkpoint.md) and the files beside it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fdabnn_deploy.system.files import write_whole

FORMAT_VERSION = 1


def write_torch(path: Path, content: object) -> None:
    """Write what ``torch.load`` reads, whole or not at all.

    Raises:
        NotWrittenError: it cannot be written, because the disk is full, for example; what was there before stays.
    """
    # Not into the file itself: PyTorch's writer turns a full disk into an error of its own.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def cpu_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Detached, contiguous copies of all tensors on the CPU."""
    return {name: value.detach().to("cpu").contiguous().clone() for name, value in state.items()}


def save_checkpoint(
    path: Path,
    *,
    arch: str,
    arch_args: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    training: Mapping[str, Any],
    input_shape: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    input_range: Sequence[float],
    classes: Sequence[str],
    ranges: Mapping[str, Mapping[str, float]],
) -> None:
    """Write a checkpoint of format version 1 atomically; docs/checkpoint.md describes every key.

    Only tensors and plain Python values go in, so that ``torch.load(path, weights_only=True)`` reads it.
    """
    content = {
        "format_version": FORMAT_VERSION,
        "arch": arch,
        "arch_args": dict(arch_args),
        "state_dict": cpu_state_dict(state_dict),
        "training": dict(training),
        "input_shape": list(input_shape),
        "mean": list(mean),
        "std": list(std),
        "input_range": list(input_range),
        "classes": list(classes),
        "ranges": {name: dict(limits) for name, limits in ranges.items()},
    }
    write_torch(path, content)
