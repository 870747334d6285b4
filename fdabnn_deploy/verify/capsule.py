"""Golden capsules: a model with inputs and everything it has to compute from them, in one file that C reads easily.

A capsule is replayed on a device that has neither PyTorch nor Python: feed the inputs, compare the outputs bit by bit,
and where a binary layer went wrong, find it by the hash of its packed signs. docs/capsule.md describes the layout,
which the `struct` formats below repeat; `tools/capsule/read_capsule.c` reads it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.system.files import write_whole
from fdabnn_deploy.system.read_file import read_whole

MAGIC, VERSION = b"FDABNCAP", 1
EXACT = 1
"""Flag: every runtime computes these bits, not only the one that wrote the capsule."""
SAME_ACCURACY = 2
"""Flag: the model keeps the accuracy of the trained network, not its decisions."""
INPUT, OUTPUT, PACKED = 0, 1, 2
MAX_RANK = 8
TYPES = (
    "float32", "float64", "float16", "int8", "uint8", "bool", "int16", "uint16", "int32", "uint32", "int64", "uint64",
)  # fmt: skip
"""Of the values of inputs and outputs, by their number in an entry; packed signs have number 0."""
_HEADER = struct.Struct("<8sIIQ16sQQQIIII")
_ENTRY = struct.Struct("<QQQII8I")
_CHECKED_FROM = 16
_ALIGNMENT = 64
_KIND, _TYPE_SHIFT = 0xFF, 8
"""Of an entry's kind: the bits of the kind itself, and where the type's number begins."""
_FNV_BASIS, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@dataclass(frozen=True)
class Tensor:
    """An input or output of the model in the file's own layout: `values` [N, *shape], row by row, of one of `TYPES`."""

    name: str
    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input or output, without the batch."""
        return self.values.shape[1:]


@dataclass(frozen=True)
class PackedSigns:
    """A packed tensor inside the model.

    Attributes:
        name: of the tensor in the model's file.
        shape: [H, W, ceil(C / 32)] in int32 words, without the batch.
        hashes: uint64 [N], `fnv1a64` of the words of each input's tensor.
    """

    name: str
    shape: tuple[int, ...]
    hashes: NDArray[np.uint64]


@dataclass(frozen=True)
class Capsule:
    """The content of a capsule file.

    Attributes:
        target: of the model, such as `tflite`.
        exact: whether the model records exact numerics.
        model: the bytes of its file.
        inputs: at least one, all of N images.
        outputs: at least one.
        packed: every packed tensor, in the order of computation.
        same_accuracy: whether the model is one of `--fidelity accuracy`: of the same accuracy, not the same decisions.
    """

    target: str
    exact: bool
    model: bytes
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    packed: tuple[PackedSigns, ...] = ()
    same_accuracy: bool = False

    def __len__(self) -> int:
        return len(self.inputs[0].values)


def fnv1a64(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """FNV-1a, 64 bits, of each row of bytes [N, K].

    Per byte `hash = (hash ^ byte) * 0x100000001b3 mod 2^64`, starting with 0xcbf29ce484222325 (Fowler, Noll and Vo;
    draft-eastlake-fnv).
    """
    hashes = np.full(len(data), _FNV_BASIS)
    for column in np.ascontiguousarray(data.T):
        hashes = (hashes ^ column) * _FNV_PRIME
    return hashes


def hash_words(values: NDArray[np.int32]) -> NDArray[np.uint64]:
    """`fnv1a64` of each image's words [N, ...], as they lie in the memory of a little-endian machine."""
    octets = np.ascontiguousarray(values, dtype="<i4").reshape(len(values), -1).view(np.uint8)
    return fnv1a64(octets)


def pack_signs(signs: FloatArray) -> NDArray[np.int32]:
    """Packs signs [N, C, H, W] or [N, C] as LCE does: int32 [N, H, W, ceil(C / 32)] or [N, 1, 1, ceil(C / 32)].

    Channel 32 k + i is bit i of word k: 0 for +1, 1 for -1. Bits behind the last channel are 0.
    """
    if signs.ndim == 2:
        signs = signs[:, :, None, None]
    bits = (signs.transpose(0, 2, 3, 1) < 0).astype(np.uint8)
    missing = -bits.shape[3] % 32
    octets = np.packbits(np.pad(bits, [(0, 0)] * 3 + [(0, missing)]), axis=3, bitorder="little")
    return np.ascontiguousarray(octets).view("<i4").astype(np.int32)


def to_bytes(capsule: Capsule) -> bytes:
    """The content of a capsule file; the same capsule gives the same bytes."""
    tensors = [(INPUT, tensor) for tensor in capsule.inputs] + [
        (OUTPUT, tensor) for tensor in capsule.outputs
    ]
    blocks = [
        (kind | TYPES.index(t.values.dtype.name) << _TYPE_SHIFT, t.name, t.shape, _content(t.values))
        for kind, t in tensors
    ]
    blocks += [(PACKED, t.name, t.shape, t.hashes.astype("<u8").tobytes()) for t in capsule.packed]
    table = _HEADER.size
    content = bytearray(table + _ENTRY.size * len(blocks))
    for i, (kind, name, shape, data) in enumerate(blocks):
        sizes = (*shape, *(0,) * (MAX_RANK - len(shape)))
        size = _item_size(kind) * int(np.prod(shape, dtype=np.int64))
        text, place = _put(content, name.encode() + b"\0", 1), _put(content, data, _ALIGNMENT)
        _ENTRY.pack_into(content, table + i * _ENTRY.size, text, place, size, kind, len(shape), *sizes)
    model = _put(content, capsule.model, _ALIGNMENT)
    flags = EXACT * capsule.exact | SAME_ACCURACY * capsule.same_accuracy
    head = [
        len(content),
        capsule.target.encode(),
        model,
        len(capsule.model),
        table,
        len(blocks),
        len(capsule),
    ]
    _HEADER.pack_into(content, 0, MAGIC, VERSION, 0, *head, flags, 0)
    checksum = zlib.crc32(memoryview(content)[_CHECKED_FROM:])
    _HEADER.pack_into(content, 0, MAGIC, VERSION, checksum, *head, flags, 0)
    return bytes(content)


def write_capsule(path: Path, capsule: Capsule) -> None:
    """Writes a capsule; a reader sees the whole file or none.

    Raises:
        NotWrittenError: the file cannot be written.
    """
    write_whole(path, to_bytes(capsule))


def read_capsule(path: Path) -> Capsule:
    """Reads and checks a capsule.

    Raises:
        UsageError: the file cannot be read.
        ModelRefusedError: it is damaged or no capsule.
    """
    content = read_whole(path, "capsule", copies=2)
    try:
        return from_bytes(content)
    except ValueError as error:
        raise ModelRefusedError(f"{path} is damaged or no capsule ({error}): write it again") from None


def from_bytes(content: bytes) -> Capsule:
    """The capsule in the content of a file.

    Raises:
        ValueError: it is damaged or of another version.
    """
    if len(content) < _HEADER.size or not content.startswith(MAGIC):
        raise ValueError("it does not begin as one")
    _, version, checksum, size, target, model, model_size, table, entries, count, flags, _ = (
        _HEADER.unpack_from(content)
    )
    if version != VERSION:
        raise ValueError(f"version {version}, known is {VERSION}")
    if size != len(content):
        raise ValueError(f"{len(content)} bytes of {size}")
    if zlib.crc32(memoryview(content)[_CHECKED_FROM:]) != checksum:
        raise ValueError("its checksum does not fit")
    _part(content, table, entries * _ENTRY.size)
    tensors: dict[int, list[Tensor]] = {INPUT: [], OUTPUT: []}
    packed: list[PackedSigns] = []
    for i in range(entries):
        text, place, octets, kind, rank, *sizes = _ENTRY.unpack_from(content, table + i * _ENTRY.size)
        end = content.find(b"\0", text)
        shape = tuple(sizes[:rank])
        if kind >> _TYPE_SHIFT >= len(TYPES):
            raise ValueError(f"entry {i} is of unknown type {kind >> _TYPE_SHIFT}")
        if end < 0 or rank > MAX_RANK or octets != _item_size(kind) * int(np.prod(shape, dtype=object)):
            raise ValueError(f"entry {i} contradicts itself")
        name = content[text:end].decode()
        if kind == PACKED:
            hashes = np.frombuffer(_part(content, place, 8 * count), "<u8").astype(np.uint64)
            packed.append(PackedSigns(name, shape, hashes))
        elif kind & _KIND in tensors:
            dtype = np.dtype(TYPES[kind >> _TYPE_SHIFT])
            values = np.frombuffer(_part(content, place, octets * count), dtype.newbyteorder("<")).astype(
                dtype
            )
            tensors[kind & _KIND].append(Tensor(name, values.reshape(count, *shape)))
        else:
            raise ValueError(f"entry {i} is of unknown kind {kind}")
    if not (tensors[INPUT] and tensors[OUTPUT]):
        raise ValueError("it lacks inputs or outputs")
    return Capsule(
        target=target.rstrip(b"\0").decode(),
        exact=bool(flags & EXACT),
        model=bytes(_part(content, model, model_size)),
        inputs=tuple(tensors[INPUT]),
        outputs=tuple(tensors[OUTPUT]),
        packed=tuple(packed),
        same_accuracy=bool(flags & SAME_ACCURACY),
    )


def _content(values: Array) -> bytes:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def _item_size(kind: int) -> int:
    return np.dtype(TYPES[kind >> _TYPE_SHIFT]).itemsize


def _put(content: bytearray, data: bytes, alignment: int) -> int:
    """Appends data at a multiple of the alignment and says where."""
    content += b"\0" * (-len(content) % alignment)
    place = len(content)
    content += data
    return place


def _part(content: bytes, place: int, size: int) -> memoryview:
    if place > len(content) or size > len(content) - place:
        raise ValueError("a part lies outside")
    return memoryview(content)[place : place + size]
