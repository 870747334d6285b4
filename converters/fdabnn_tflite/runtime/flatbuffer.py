"""Reading FlatBuffers without trusting them: every access is checked against the end of the data.

Source: https://flatbuffers.dev/internals (FlatBuffer binary format). All numbers are little-endian. A table begins with the signed
distance back to its vtable; a vtable holds its own size, the table's size, and per field the distance from the table's begin, 0 where
the field is absent. Vectors and strings begin with their length; references are unsigned distances forward.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator


class DamagedError(Exception):
    """The data is no well-formed FlatBuffer."""


class Table:
    """A table inside a buffer.

    Args:
        data: the whole buffer.
        position: where the table begins.

    Raises:
        DamagedError: the table or its vtable does not lie inside the buffer. So do all methods for what they read.
    """

    def __init__(self, data: bytes, position: int) -> None:
        self._data = data
        self._position = position
        self._vtable = position - self._read("<i", position)
        vtable_size = self._read("<H", self._vtable)
        self._size = self._read("<H", self._vtable + 2)
        if vtable_size < 4 or vtable_size % 2 or self._size < 4:
            raise DamagedError(f"impossible table at byte {position}")
        self._check(self._vtable, vtable_size)
        self._check(position, self._size)
        self._fields = (vtable_size - 4) // 2
        for index in range(self._fields):
            if self._read("<H", self._vtable + 4 + 2 * index) >= self._size:
                raise DamagedError(f"field outside its table at byte {position}")

    def _check(self, position: int, size: int) -> None:
        if position < 0 or size < 0 or position + size > len(self._data):
            raise DamagedError(f"{size} bytes wanted at byte {position} of {len(self._data)}")

    def _read(self, kind: str, position: int) -> int:
        self._check(position, struct.calcsize(kind))
        return int(struct.unpack_from(kind, self._data, position)[0])

    def place(self, field: int) -> int:
        """The position of a field's value, or 0 where it is absent."""
        if field >= self._fields:
            return 0
        offset = self._read("<H", self._vtable + 4 + 2 * field)
        return self._position + offset if offset else 0

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """An integer field; `kind` as in `struct`, such as `<i`."""
        place = self.place(field)
        if not place:
            return default
        if place + struct.calcsize(kind) > self._position + self._size:
            raise DamagedError(f"field outside its table at byte {self._position}")
        return self._read(kind, place)

    def _target(self, place: int) -> int:
        return place + self._read("<I", place)

    def table(self, field: int) -> Table | None:
        """A table that a field refers to, or None where it is absent."""
        place = self.place(field)
        return Table(self._data, self._target(place)) if place else None

    def span(self, field: int, item: int) -> tuple[int, int] | None:
        """Where the items of a vector begin and how many there are, for items of so many bytes; None where it is absent."""
        place = self.place(field)
        if not place:
            return None
        begin = self._target(place)
        count = self._read("<I", begin)
        self._check(begin + 4, count * item)
        return begin + 4, count

    def numbers(self, field: int, kind: str) -> tuple[int, ...]:
        """A vector of integers, empty where it is absent."""
        span = self.span(field, struct.calcsize(kind))
        if span is None:
            return ()
        begin, count = span
        return struct.unpack_from(f"<{count}{kind[-1]}", self._data, begin)

    def octets(self, field: int) -> bytes:
        """A vector of bytes, empty where it is absent."""
        span = self.span(field, 1)
        return self._data[span[0] : span[0] + span[1]] if span else b""

    def string(self, field: int) -> str:
        """A text, empty where it is absent."""
        span = self.span(field, 1)
        if span is None:
            return ""
        begin, count = span
        self._check(begin, count + 1)
        if self._data[begin + count]:
            raise DamagedError(f"unterminated text at byte {begin}")
        return self._data[begin : begin + count].decode("utf-8", "replace")

    def tables(self, field: int) -> Iterator[Table]:
        """A vector of tables, empty where it is absent."""
        begin, count = self.span(field, 4) or (0, 0)
        for place in range(begin, begin + 4 * count, 4):
            yield Table(self._data, self._target(place))


def root(data: bytes, identifier: bytes) -> Table:
    """The root table of a buffer with this file identifier.

    Raises:
        DamagedError: the identifier is another one, or the root lies outside.
    """
    if len(data) < 8 or data[4:8] != identifier:
        raise DamagedError(f"no {identifier.decode()} file")
    return Table(data, int.from_bytes(data[:4], "little"))
