"""Reading a checkpoint file without running code from it.

A checkpoint is a pickle, and a pickle can call any function while it is opened. Here only tensors, plain
Python values and a short list of harmless stand-ins come through (`torch.load(weights_only=True)`);
everything else is refused by its name.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint.file_kind import LEGACY_MAGIC, ZIP_MAGIC, describe, describe_zip
from fdabnn_deploy.frontend.checkpoint.inert import STAND_INS
from fdabnn_deploy.system.memory import check_expanded
from fdabnn_deploy.system.read_file import read_whole

# What zipfile raises on damaged archives.
_ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError, ValueError, OSError,
    KeyError, IndexError, RuntimeError,
)  # fmt: skip
_SAVE_AGAIN = "torch.save(model.state_dict(), 'weights.pt')"


@dataclass(frozen=True)
class LoadedFile:
    """The content of a checkpoint file.

    Attributes:
        content: the saved object: tensors on the CPU, plain Python values, stand-ins (see `inert`).
        sha256: of the file, in hexadecimal.
        bytes: size of the file.
    """

    content: Any
    sha256: str
    bytes: int


def load_file(path: Path, memory_limit: int | None = None) -> LoadedFile:
    """Reads a file of `torch.save`, in its zip or its legacy form, without running code from it.

    Args:
        path: of the file.
        memory_limit: bytes that a compressed archive may expand to, by default `fdabnn_deploy.system.memory.EXPANDED`.

    Raises:
        UsageError: there is no such file, it cannot be read, never ends, or does not fit into memory.
        ModelRefusedError: it is empty, damaged, of another kind, or holds more than tensors and plain values.
    """
    # Its bytes, the tensors in them, and the network that they are copied into.
    data = read_whole(path, "checkpoint file", copies=3)
    if not data:
        raise ModelRefusedError(f"{path} is empty: the copy, download or save was not finished")
    if data.startswith(ZIP_MAGIC):
        _check_zip(path, data, memory_limit)
    elif not data.startswith(LEGACY_MAGIC):
        raise ModelRefusedError(f"{path} is not a PyTorch checkpoint: it looks like {describe(data)}")
    content = _unpickle(path, data)
    return LoadedFile(content=content, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _check_zip(path: Path, data: bytes, memory_limit: int | None) -> None:
    # PyTorch's own reader does not compare the checksums: a flipped bit would come through as another weight.
    try:
        kind = describe_zip(data)
        if kind is None:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                # torch.save does not compress, so that more than the file itself was made to expand.
                expanded = sum(entry.file_size for entry in archive.infolist())
                if expanded > len(data):
                    check_expanded(expanded, memory_limit, str(path))
                broken = archive.testzip()
            if broken is not None:
                raise zipfile.BadZipFile(f"the checksum of {broken} does not match")
    except _ZIP_ERRORS as error:
        raise ModelRefusedError(
            f"{path} is damaged or cut off ({_first_line(error)}); copy or download it again, or use an "
            "earlier save"
        ) from None
    if kind is not None:
        raise ModelRefusedError(f"{path} is not a checkpoint of torch.save: it is {kind}")


def _unpickle(path: Path, data: bytes) -> Any:
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(STAND_INS)):
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged pickles raise nearly every type there is
        raise ModelRefusedError(_reason(path, data, error)) from None


def _reason(path: Path, data: bytes, error: BaseException) -> str:
    text = str(error)
    found = re.search(r"GLOBAL `?([\w.]+)", text) or re.search(r"unrecognized function ([^\n]+)", text)
    if found is None or _ends_within(data, found[1]):
        if isinstance(error, MemoryError) or "legacy .tar" not in text:
            return (
                f"{path} is damaged or cut off ({_first_line(error)}); "
                "copy or download it again, or use an earlier save"
            )
        return (
            f"{path} is in the tar format of PyTorch before 0.4; load it there and save its state_dict again"
        )
    name = found[1]
    if _holds_module(data):
        return (
            f"{path} holds a whole pickled network (it needs the code of {name}), and opening it would run "
            "code; "
            f"save its weights only, where the code is:  {_SAVE_AGAIN}"
        )
    return (
        f"{path} was not opened, because it would run code: it asks for {name}; where you trust the file, "
        "load it "
        f"with your own code and save the weights only:  {_SAVE_AGAIN}"
    )


def _ends_within(data: bytes, name: str) -> bool:
    """Whether a file was cut off within a name (PyTorch's unpickler takes the last letter for the line's end)."""
    last = name.rpartition(".")[2].encode()
    return data.endswith(last) or data[:-1].endswith(last)


def _holds_module(data: bytes) -> bool:
    """Whether the pickle has the attributes of a `torch.nn.Module`."""
    if data.startswith(ZIP_MAGIC):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            pickles = [archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl")]
    else:
        pickles = [data]
    marks = (b"_parameters", b"_buffers", b"_modules", b"training")
    return any(all(mark in pickled for mark in marks) for pickled in pickles)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else type(error).__name__
    return text if len(text) <= 200 else text[:200] + " ..."
