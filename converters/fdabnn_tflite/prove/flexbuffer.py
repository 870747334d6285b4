"""Reads a FlexBuffer map of integers: the options of LCE's operators.

Source: https://flatbuffers.dev/internals (FlexBuffers). The last byte is the width of the root, the byte before it the root's type. A
type's low two bits are the width of what it refers to, as a power of two, and its upper six bits the kind. A map is a vector of values,
then their types; in front of it stand its length, the width of its keys and the distance back to them.
"""

from __future__ import annotations

from fdabnn_deploy.prove.rows import UnprovedError

_INT, _UINT, _MAP, _BOOL = 1, 2, 9, 26


def integer_map(data: bytes) -> dict[str, int]:
    """The entries of a map.

    Raises:
        UnprovedError: the bytes are something else.
    """
    try:
        return _read(data)
    except (IndexError, ValueError) as error:
        raise UnprovedError(f"its options cannot be read: {error}") from None


def _read(data: bytes) -> dict[str, int]:
    width, kind = data[-1], data[-2]
    if kind >> 2 != _MAP:
        raise ValueError("no map")
    place = len(data) - 2 - width
    start = place - _number(data, place, width)
    width = 1 << (kind & 3)
    count = _number(data, start - width, width)
    key_width = _number(data, start - 2 * width, width)
    keys_place = start - 3 * width
    keys = keys_place - _number(data, keys_place, width)
    entries = {}
    for i in range(count):
        key_place = keys + i * key_width
        begin = key_place - _number(data, key_place, key_width)
        key = data[begin : data.index(0, begin)].decode("ascii")
        if data[start + count * width + i] >> 2 not in {_INT, _UINT, _BOOL}:
            raise ValueError(f"{key} is no integer")
        entries[key] = _number(data, start + i * width, width)
    return entries


def _number(data: bytes, place: int, width: int) -> int:
    if place < 0 or place + width > len(data) or width not in {1, 2, 4, 8}:
        raise ValueError(f"{width} bytes at {place} of {len(data)}")
    return int.from_bytes(data[place : place + width], "little")
