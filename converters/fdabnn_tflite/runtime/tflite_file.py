"""Reads a TFLite file without TensorFlow, checks it before a runtime gets to see it, and makes its inner tensors visible.

TFLite's interpreter trusts its file: a wrong index or a constant that is shorter than its shape makes it read outside its memory. So
everything that can be known from the file alone is checked here. Files of this project also carry a SHA-256 of themselves
(`DIGEST_KEY`), so that no damage at all passes unseen.

Source of the field numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.model_info import VERSION_KEY
from fdabnn_deploy.system.read_file import read_whole
from fdabnn_tflite.runtime.builtin_operators import BUILTIN_OPERATORS
from fdabnn_tflite.runtime.flatbuffer import DamagedError, Table, root

IDENTIFIER = b"TFL3"
DIGEST_KEY = "fdabnn_sha256"
"""Metadata key of the SHA-256, in 64 hexadecimal digits, of the file with these digits replaced by zeros."""

FLOAT32, INT32, UINT8, INT8 = 0, 2, 3, 9
OUTPUT_TYPES = frozenset({FLOAT32, 1, INT32, 3, 4, 6, 7, 9, 10, 12, 15, 16})
"""The TensorTypes of numbers and booleans: float32, float16, int32, uint8, int64, bool, int16, int8, float64, uint64, uint32, uint16."""
_SIZES = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 8: 8, 9: 1, 10: 8, 11: 16, 12: 8, 15: 4, 16: 2}
"""Bytes of a value by TensorType, for the types of fixed size."""
TYPE_NAMES = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64", "complex128", "uint64",
    "resource", "variant", "uint32", "uint16", "int4",
)  # fmt: skip
"""Names of the TensorTypes, by number."""
_CUSTOM = 32


@dataclass(frozen=True)
class TensorInfo:
    """A tensor of the file: its name, stored shape, TensorType, and whether its values stand in the file.

    `ranked` is False where there are no axes and the file does not say that it knows their number: an unknown rank, or an older file's
    scalar.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    constant: bool
    ranked: bool = True


@dataclass(frozen=True)
class OperatorInfo:
    """An operator of the file: its name and the indices of its tensors, -1 for an optional input that is left out."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class TfliteFile:
    """The content of a checked file.

    Attributes:
        data: the file's bytes.
        tensors: all tensors of the main subgraph.
        operators: its operators in the order they run.
        inputs: indices of its input tensors.
        outputs: indices of its output tensors.
        metadata: the metadata texts by key; entries that are no text are left out.
        resizable: whether every input says that its batch is free.
    """

    data: bytes
    tensors: tuple[TensorInfo, ...]
    operators: tuple[OperatorInfo, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: dict[str, str]
    resizable: bool
    _outputs_place: int
    _batch_places: tuple[int, ...]

    def op_counts(self) -> dict[str, int]:
        """Operators by name, sorted."""
        return dict(sorted(Counter(operator.name for operator in self.operators).items()))

    def patched(self, outputs: tuple[int, ...], batch: int | None = None) -> bytes:
        """A copy of the file whose outputs are these tensors, and whose inputs have this batch size, None for their own.

        References point forward only, so a new list of outputs goes to the end of the file and the old reference is turned there. The
        checksum of the copy is not renewed.
        """
        changed = bytearray(self.data)
        for place in self._batch_places if batch is not None else ():
            struct.pack_into("<i", changed, place, batch)
        if outputs != self.outputs:
            end = -(-len(changed) // 16) * 16
            changed = changed.ljust(end, b"\0")
            struct.pack_into("<I", changed, self._outputs_place, end - self._outputs_place)
            changed += struct.pack(f"<{len(outputs) + 1}i", len(outputs), *outputs)
        return bytes(changed)


def read_tflite(path: Path) -> TfliteFile:
    """Reads and checks a file.

    Raises:
        UsageError: it cannot be read, or is no file: a folder, or a device or pipe, which may never end.
        ModelRefusedError: it is damaged or no TFLite file.
    """
    data = read_whole(path, "TFLite file")
    try:
        return parse_tflite(data)
    except DamagedError as error:
        raise ModelRefusedError(
            f"{path} is damaged or not a TFLite file ({error}): copy or export it again"
        ) from None


def parse_tflite(data: bytes) -> TfliteFile:
    """Checks the bytes of a file.

    Raises:
        DamagedError: they are no sound TFLite file.
    """
    model = root(data, IDENTIFIER)
    if model.number(0, "<I") != 3:
        raise DamagedError("schema version is not 3")
    buffers = list(model.tables(4))
    _check_digest(data, model, buffers)
    codes = [_operator_name(code) for code in model.tables(1)]
    subgraphs = list(model.tables(2))
    if not subgraphs:
        raise DamagedError("no subgraph")
    parsed = [_subgraph(subgraph, codes, buffers) for subgraph in subgraphs]
    for signature in model.tables(7):
        _check_signature(signature, [len(tensors) for tensors, *_ in parsed])
    tensors, operators, inputs, outputs = parsed[0]
    tables = list(subgraphs[0].tables(0))
    shapes = [tables[index].span(0, 4) for index in inputs]
    return TfliteFile(
        data,
        tensors,
        operators,
        inputs,
        outputs,
        _metadata(model, buffers),
        bool(inputs) and all(tables[index].numbers(7, "<i")[:1] == (-1,) for index in inputs),
        subgraphs[0].place(2),
        tuple(begin for begin, rank in filter(None, shapes) if rank),
    )


def _operator_name(code: Table) -> str:
    number = max(code.number(0, "<b"), code.number(3, "<i"))
    custom = code.string(1)
    if number == _CUSTOM:
        if not custom:
            raise DamagedError("custom operator without a name")
        return custom
    return BUILTIN_OPERATORS.get(number, f"builtin {number}")


def _metadata(model: Table, buffers: list[Table]) -> dict[str, str]:
    texts = {}
    for entry in model.tables(6):
        index = entry.number(1, "<I")
        if index >= len(buffers):
            raise DamagedError("metadata without its buffer")
        name, value = entry.string(0), buffers[index].octets(0)
        try:
            texts[name] = value.decode().rstrip("\0")
        except UnicodeDecodeError:
            continue
    return texts


def digest_place(data: bytes) -> int | None:
    """Where the digits of `DIGEST_KEY` begin, or None in a file without.

    Raises:
        DamagedError: they are damaged.
    """
    model = root(data, IDENTIFIER)
    return _digest_place(model, list(model.tables(4)))


def _digest_place(model: Table, buffers: list[Table]) -> int | None:
    for entry in model.tables(6):
        if entry.string(0) == DIGEST_KEY:
            index = entry.number(1, "<I")
            span = buffers[index].span(0, 1) if index < len(buffers) else None
            if span is None or span[1] != 64:
                raise DamagedError("unreadable checksum")
            return span[0]
    return None


def status_of_file(path: Path, metadata: dict[str, str]) -> Literal["fits", "none", ""]:
    """Whether a file that was read has a checksum; one that does not fit has been refused as damaged.

    Empty for a file of another tool, which `metadata` tells. See `fdabnn_deploy.targets.target.Target.checksum`.
    """
    return "fits" if DIGEST_KEY in metadata else "none" if VERSION_KEY in metadata else ""


def digest(data: bytes, place: int) -> bytes:
    """The checksum of a file whose 64 digits stand at `place`, as these digits."""
    hasher = hashlib.sha256(data[:place])
    hasher.update(b"0" * 64)
    hasher.update(data[place + 64 :])
    return hasher.hexdigest().encode()


def _check_digest(data: bytes, model: Table, buffers: list[Table]) -> None:
    place = _digest_place(model, buffers)
    if place is not None and digest(data, place) != data[place : place + 64]:
        raise DamagedError("its checksum does not fit")


Subgraph = tuple[tuple[TensorInfo, ...], tuple[OperatorInfo, ...], tuple[int, ...], tuple[int, ...]]


def _subgraph(subgraph: Table, codes: list[str], buffers: list[Table]) -> Subgraph:
    tensors = tuple(_tensor(tensor, buffers) for tensor in subgraph.tables(0))
    variables = {i for i, tensor in enumerate(subgraph.tables(0)) if tensor.number(5, "<B")}
    inputs, outputs = subgraph.numbers(1, "<i"), subgraph.numbers(2, "<i")
    _check_indices((*inputs, *outputs), len(tensors), lowest=0)
    ready = {i for i, tensor in enumerate(tensors) if tensor.constant} | variables | set(inputs)
    operators = []
    for table in subgraph.tables(3):
        operator = _operator(table, codes, len(tensors))
        if not ready.issuperset(i for i in operator.inputs if i >= 0):
            raise DamagedError(f"operator {operator.name} reads a tensor that nothing has written")
        ready.update(operator.outputs)
        operators.append(operator)
    if not ready.issuperset(outputs):
        raise DamagedError("an output that nothing writes")
    subgraph.string(4)
    return tensors, tuple(operators), inputs, outputs


def _tensor(table: Table, buffers: list[Table]) -> TensorInfo:
    shape, kind, index = table.numbers(0, "<i"), table.number(1, "<b"), table.number(2, "<I")
    if index >= len(buffers):
        raise DamagedError("a tensor without its buffer")
    if any(size < 0 for size in shape):
        raise DamagedError("a tensor of negative size")
    if not 0 <= kind < len(TYPE_NAMES):
        raise DamagedError(f"unknown tensor type {kind}")
    span = buffers[index].span(0, 1)
    stored = span[1] if span else 0
    if stored and kind in _SIZES and stored != math.prod(shape) * _SIZES[kind]:
        raise DamagedError(f"a constant of {stored} bytes and shape {shape}")
    quantization = table.table(4)
    if quantization is not None:
        for field, size in ((0, 4), (1, 4), (2, 4), (3, 8)):
            quantization.span(field, size)
        quantization.table(5)
    if table.table(6) is not None:
        raise DamagedError("sparse tensors are not read")
    table.numbers(7, "<i")
    # A constant without any value, such as an axis of length 0, has a buffer without any byte; what is computed has none at all.
    constant = stored > 0 or (span is not None and math.prod(shape) == 0)
    return TensorInfo(table.string(3), shape, kind, constant, bool(shape) or table.number(8, "<B") != 0)


def _operator(table: Table, codes: list[str], tensors: int) -> OperatorInfo:
    code = table.number(0, "<I")
    if code >= len(codes):
        raise DamagedError("an operator without its code")
    inputs, outputs = table.numbers(1, "<i"), table.numbers(2, "<i")
    _check_indices(inputs, tensors, lowest=-1)
    _check_indices((*outputs, *table.numbers(8, "<i")), tensors, lowest=0)
    table.table(4)
    table.span(5, 1)
    table.span(7, 1)
    return OperatorInfo(codes[code], inputs, outputs)


def _check_indices(indices: tuple[int, ...], count: int, lowest: int) -> None:
    if any(not lowest <= index < count for index in indices):
        raise DamagedError("a tensor index out of range")


def _check_signature(signature: Table, tensor_counts: list[int]) -> None:
    subgraph = signature.number(4, "<I")
    if subgraph >= len(tensor_counts):
        raise DamagedError("a signature without its subgraph")
    signature.string(2)
    for field in (0, 1):
        for entry in signature.tables(field):
            entry.string(0)
            if entry.number(1, "<I") >= tensor_counts[subgraph]:
                raise DamagedError("a tensor index out of range")
