r"""The checksum that this project's ONNX files carry: of what computes, and of what the metadata say about it.

The metadata entry `KEY` is 64 hexadecimal digits, a blank, and the keys of the metadata that are covered, sorted and separated by commas.
The digits are the SHA-256 of these parts, one behind the other:

1. of `ModelProto`, the fields ir_version (1), graph (7), opset_import (8) and functions (25), by number and then as they stand in the
   file: for each the text `<number> <length>\n` and its bytes; for the number ir_version `1 <value>\n`;
2. for each covered key the text `<key> <length>\n` and the bytes of its value, nothing for one that is missing.

So a tool that adds metadata of its own changes nothing, and one that rewrites the graph does. `fdabnn_deploy/native/runner/onnx_file.cc`
does the same.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from fdabnn_deploy.ir.model_info import VERSION_KEY
from fdabnn_onnx.runtime import onnx_file
from fdabnn_onnx.runtime.external_data import read_model

KEY = "fdabnn_sha256"
Status = Literal["fits", "changed", "none"]
"""`changed`: the file is not the one that was exported; `none`: it carries no checksum."""

_COMPUTES = (1, 7, 8, 25)


def seal(content: bytes) -> bytes:
    """The model with its checksum behind its metadata, in the place of one that it may have.

    Args:
        content: of a sound model.
    """
    content = b"".join(
        field.raw for field in onnx_file.fields(memoryview(content)) if not _is_checksum(field)
    )
    keys = ",".join(sorted(onnx_file.metadata(content)))
    return onnx_file.with_metadata(content, KEY, f"{_digest(content, keys)} {keys}")


def status(content: bytes) -> Status:
    """Whether the checksum of a model fits.

    Raises:
        DamagedError: the bytes are no protobuf message.
    """
    found = onnx_file.metadata(content).get(KEY)
    if found is None:
        return "none"
    digits, _, keys = found.partition(" ")
    return "fits" if digits == _digest(content, keys) else "changed"


def status_of_file(path: Path, metadata: dict[str, str]) -> Literal["fits", "changed", "none", ""]:
    """As `status`; empty for a file of another tool, which `metadata` tells, and for what is no model, which its runtime will refuse.

    See `fdabnn_deploy.targets.target.Target.checksum`.
    """
    try:
        found = status(read_model(path))
    except onnx_file.DamagedError:
        return ""
    return "" if found == "none" and VERSION_KEY not in metadata else found


def _is_checksum(field: onnx_file.Field) -> bool:
    metadata = field.number == onnx_file.MODEL_METADATA and not isinstance(field.value, int)
    return metadata and onnx_file.entry(field.value)[0] == KEY  # type: ignore[arg-type]


def _digest(content: bytes, keys: str) -> str:
    hasher = hashlib.sha256()
    fields = [field for field in onnx_file.fields(memoryview(content)) if field.number in _COMPUTES]
    for field in sorted(fields, key=lambda each: each.number):
        if isinstance(field.value, int):
            hasher.update(f"{field.number} {field.value}\n".encode())
        else:
            hasher.update(f"{field.number} {len(field.value)}\n".encode())
            hasher.update(field.value)
    metadata = onnx_file.metadata(content)
    for key in keys.split(",") if keys else ():
        value = metadata.get(key)
        if value is not None:
            hasher.update(f"{key} {len(value.encode())}\n".encode())
            hasher.update(value.encode())
    return hasher.hexdigest()
