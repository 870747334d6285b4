"""Writing the project's checkpoint format (docs/checkpoint.md) and the files beside it."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from fdabnn_deploy.errors import UsageError

FORMAT_VERSION = 1


def write_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file aside in the same folder, flush it to the disk and rename it: no reader sees half a file.

    Raises:
        UsageError: it cannot be written, because the disk is full, for example; what was there before stays.
    """
    content = io.BytesIO()
    write(content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot write {path}: {reason}; what was written before it is whole") from None


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
    write_atomically(path, lambda file: torch.save(content, file))
