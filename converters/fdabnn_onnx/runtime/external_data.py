"""ONNX files whose constants stand in files beside them ("external data"), read into one model that has everything inside.

A tensor of the file may name a `location`, an `offset` and a `length` (onnx/onnx.proto, `TensorProto.external_data`). The location is
looked for beside the model, wherever that stands, and nowhere else: one that is absolute, has `..` in it, or leads out of the model's
folder through a link is refused, as is data that does not have the size of its tensor.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.system.read_file import read_whole
from fdabnn_onnx.runtime import onnx_file

MOST_BYTES = 2**31 - 1
"""Of a model in one message of protobuf."""

_DIMENSION, _TYPE, _NAME, _RAW, _EXTERNAL, _LOCATION = 1, 2, 8, 9, 13, 14
_IS_EXTERNAL = 1
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16, 17: 8, 18: 8, 19: 8,
    20: 8, 21: 4, 22: 4, 23: 4, 24: 8,
}  # fmt: skip
"""Of a value by TensorProto.DataType."""

# Which fields of a message are messages that hold tensors in the end, and of which kind they are.
_INSIDE = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_DEEPEST = 100


def read_model(path: Path) -> bytes:
    """The content of a model's file; of an ONNX file with all of its data inside.

    Raises:
        UsageError: the file cannot be read, or is a device or pipe, which may never end; or data that belongs to it is missing.
        ModelRefusedError: its data lies elsewhere than beside it, or does not fit.
    """
    content = read_whole(path, "model file")
    return with_data(content, path) if path.suffix.lower() == ".onnx" else content


def with_data(content: bytes, path: Path) -> bytes:
    """The content of the ONNX file at a path, with its data inside; what is no ONNX file is given back as it is.

    Raises:
        UsageError: data that belongs to it is missing.
        ModelRefusedError: its data lies elsewhere than beside it, or does not fit.
    """
    reader = _Reader(path)
    try:
        return _rewritten(memoryview(content), "model", reader.tensor, 0) or content
    except onnx_file.DamagedError:
        return content


def locations(content: bytes) -> Iterator[str]:
    """The locations that tensors of a model name, each once.

    Raises:
        DamagedError: the bytes are no protobuf message.
    """
    found: dict[str, None] = {}

    def note(tensor: memoryview) -> None:
        for key, value in _entries(tensor):
            if key == "location":
                found[value] = None

    _rewritten(memoryview(content), "model", note, 0)
    yield from found


def _rewritten(
    message: memoryview, kind: str, tensor: Callable[[memoryview], bytes | None], depth: int
) -> bytes | None:
    """The message with every external tensor in it replaced by what `tensor` gives; None where nothing changes."""
    if depth > _DEEPEST:
        raise onnx_file.DamagedError("graphs inside graphs without end")
    inside = _INSIDE[kind]
    parts: list[bytes | memoryview] = []
    changed = False
    for field in onnx_file.fields(message):
        new = None
        if field.number in inside and not isinstance(field.value, int):
            inner = inside[field.number]
            if inner != "tensor":
                new = _rewritten(field.value, inner, tensor, depth + 1)
            elif _is_external(field.value):
                new = tensor(field.value)
        changed = changed or new is not None
        parts.append(field.raw if new is None else onnx_file.length_delimited(field.number, new))
    return b"".join(parts) if changed else None


def _is_external(tensor: memoryview) -> bool:
    return any(
        field.number == _LOCATION and field.value == _IS_EXTERNAL for field in onnx_file.fields(tensor)
    )


def _entries(tensor: memoryview) -> Iterator[tuple[str, str]]:
    for field in onnx_file.fields(tensor):
        if field.number == _EXTERNAL and not isinstance(field.value, int):
            yield onnx_file.entry(field.value)


class _Reader:
    """Reads the data of tensors of one model.

    Args:
        path: of the model.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._total = 0

    def tensor(self, message: memoryview) -> bytes:
        """The tensor with its data inside."""
        fields = list(onnx_file.fields(message))
        entries = dict(_entries(message))
        name = onnx_file.text_of(message, _NAME)
        kind = next((field.value for field in fields if field.number == _TYPE), 0)
        size = -(-math.prod(onnx_file.integers_of(message, _DIMENSION)) * _BITS.get(int(kind), 0) // 8)
        data = self._data(name, entries, size)
        kept = (field.raw for field in fields if field.number not in {_RAW, _EXTERNAL, _LOCATION})
        return b"".join([*kept, onnx_file.length_delimited(_RAW, data)])

    def _data(self, name: str, entries: dict[str, str], size: int) -> bytes:
        location = entries.get("location", "")
        try:
            offset = int(entries.get("offset") or 0)
            length = int(entries.get("length") or size)
        except ValueError:
            raise self._refused(name, "its offset or length is no number") from None
        if length != size or offset < 0:
            raise self._refused(
                name, f"it names {length} bytes at {offset}, and its shape and type hold {size}"
            )
        self._total += size
        if self._total > MOST_BYTES:
            raise ModelRefusedError(
                f"{self._path} holds more than 2 GiB with its data, which is more than one ONNX model can: use smaller constants"
            )
        file = self._file(name, location)
        try:
            with file.open("rb") as stream:
                available = os.fstat(stream.fileno()).st_size
                if offset + length > available:
                    raise self._refused(
                        name,
                        f"it ends at byte {offset + length} of {location}, which has {available}: copy it again",
                    )
                stream.seek(offset)
                return stream.read(length)
        except OSError as error:
            raise UsageError(
                f"{self._path}: cannot read its data {file}: {error.strerror or error}; copy it beside the model"
            ) from None

    def _file(self, name: str, location: str) -> Path:
        if not location or "\0" in location:
            raise self._refused(name, "it names no file")
        if any(pure.is_absolute() or ".." in pure.parts or pure.drive for pure in _both(location)):
            raise self._refused(name, f"'{location}' is no file inside the model's folder")
        folder = self._path.absolute().parent
        file = folder / location
        if not file.resolve().is_relative_to(folder.resolve()):
            raise self._refused(name, f"'{location}' leads out of the model's folder through a link")
        if not file.exists():
            raise UsageError(
                f"{self._path} keeps its data in {location}, which is not beside it: copy it to {folder}"
            )
        if not file.is_file():
            raise self._refused(name, f"'{location}' is no file")
        return file

    def _refused(self, name: str, reason: str) -> ModelRefusedError:
        return ModelRefusedError(
            f"{self._path}: the data of tensor {name} are not taken: {reason}; data files belong beside the model"
        )


def _both(location: str) -> tuple[PurePosixPath | PureWindowsPath, ...]:
    return PurePosixPath(location), PureWindowsPath(location)
