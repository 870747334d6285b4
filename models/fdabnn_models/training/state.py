"""The file with the state of an unfinished training run: read whole and sound, or refused by name.

A dict of ``torch.save`` with tensors and plain values only. ``checksum`` is a SHA-256 over everything else in it, so that one changed
bit is found; a version that this tool does not write is refused.
"""

from __future__ import annotations

import hashlib
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.system.read_file import check_file
from fdabnn_models.checkpoint import write_torch

VERSION = 2
ADVICE = "delete it to start again, or choose another --out"
_KEYS = {"state_version", "checksum", "recipe", "data", "finished", "rows", "model", "optimizer"}


def checksum(value: Any) -> str:
    """SHA-256 of tensors (type, shape, bytes) and plain values, by their order in lists and by key in dicts.

    Raises:
        TypeError: a value that is neither, which no state holds.
    """
    digest = hashlib.sha256()
    _add(digest, value)
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        cpu = value.detach().to("cpu").contiguous()
        digest.update(f"tensor {cpu.dtype} {tuple(cpu.shape)};".encode())
        digest.update(cpu.reshape(-1).view(torch.uint8).numpy().tobytes() if cpu.numel() else b"")
    elif isinstance(value, Mapping):
        digest.update(f"dict {len(value)};".encode())
        for key in sorted(value, key=repr):
            _add(digest, key)
            _add(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)};".encode())
        for item in value:
            _add(digest, item)
    elif value is None or isinstance(value, (bool, int, float, str)):
        digest.update(f"{type(value).__name__} {value!r};".encode())
    else:
        raise TypeError(f"a {type(value).__name__} in a training state")


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` with its version and checksum, whole or not at all."""
    content = {"state_version": VERSION, **state}
    content["checksum"] = checksum(content)
    write_torch(path, content)


def read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a state that ``write_state`` wrote.

    Raises:
        UsageError: no file, damaged, or of another version of this tool.
    """
    check_file(path, "training state")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state["state_version"]
    except (
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        LookupError,
        TypeError,
        ValueError,
        OSError,
    ) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path} is not a readable training state: {reason}; {ADVICE}") from None
    if version != VERSION:
        raise UsageError(
            f"{path} was written by another version of this tool (state version {version}, this one reads {VERSION}); {ADVICE}"
        )
    try:
        stated = state.pop("checksum")
        sound = stated == checksum(state)
    except (AttributeError, KeyError, TypeError):
        sound = False
    if not sound or {"checksum", *state} != _KEYS:
        raise UsageError(f"{path} is damaged: its content does not fit its checksum; {ADVICE}")
    _check_values(path, state)
    moved: dict[str, Any] = _on_device(state, device)
    return moved


def _check_values(path: Path, state: Mapping[str, Any]) -> None:
    finished, rows, epochs = state["finished"], state["rows"], state["recipe"].get("epochs")
    if not isinstance(finished, int) or not 0 <= finished <= epochs or len(rows) != finished:
        raise UsageError(
            f"{path} says that {finished} of {epochs} epochs are finished, with {len(rows)} rows; {ADVICE}"
        )
    for name, value in state["model"].items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise UsageError(f"{path} holds values of {name} that are not finite; {ADVICE}")


def _on_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {key: _on_device(item, device) for key, item in value.items()}
    return [_on_device(item, device) for item in value] if isinstance(value, list) else value


def is_sound(loss: float, classes: int) -> bool:
    """Whether an epoch's mean loss is one of a run that learns: finite, and at most 10 ln(classes)."""
    return math.isfinite(loss) and loss <= 10 * math.log(max(2, classes))
