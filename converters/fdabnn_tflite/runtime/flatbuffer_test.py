from __future__ import annotations

import struct

import pytest

from fdabnn_tflite.runtime.flatbuffer import DamagedError, Table, root


def buffer() -> bytes:
    """By hand: a root table with a number, a text, a vector of numbers, a table of one number, and a vector of that table."""
    vtable = struct.pack("<7H", 14, 24, 4, 8, 12, 16, 20)
    table = struct.pack("<iiIIII", 16, -5, 0, 0, 0, 0)
    head = struct.pack("<I4s", 24, b"TEST") + vtable.ljust(16, b"\0")
    data = bytearray(head + table)

    def refer(field: int, content: bytes) -> int:
        place, target = 24 + field, len(data)
        struct.pack_into("<I", data, place, target - place)
        data.extend(content)
        return target

    refer(8, struct.pack("<I3sB", 3, b"abc", 0))
    refer(12, struct.pack("<I2i", 2, 7, -8))
    inner = struct.pack("<HHHHiI", 6, 8, 4, 0, 8, 99)
    inner_place = refer(16, inner) + 8
    struct.pack_into("<I", data, 24 + 16, inner_place - (24 + 16))
    vector = refer(20, struct.pack("<II", 1, 0))
    # References point forward only: the vector's table stands behind it.
    struct.pack_into("<I", data, vector + 4, len(data) + 8 - (vector + 4))
    data.extend(inner)
    return bytes(data)


def read(data: bytes) -> tuple[object, ...]:
    table = root(data, b"TEST")
    inner = table.table(3)
    assert inner is not None
    return (
        table.number(0, "<i"),
        table.string(1),
        table.numbers(2, "<i"),
        inner.number(0, "<I"),
        [entry.number(0, "<I") for entry in table.tables(4)],
    )


def test_fields_are_read() -> None:
    assert read(buffer()) == (-5, "abc", (7, -8), 99, [99])


def test_absent_fields_have_their_defaults() -> None:
    table = root(buffer(), b"TEST")
    assert table.number(5, "<i", default=3) == 3
    assert table.string(6) == ""
    assert table.numbers(6, "<i") == ()
    assert table.table(6) is None
    assert list(table.tables(6)) == []
    assert table.octets(6) == b""
    assert table.octets(1) == b"abc"
    assert table.place(0) == 28


def test_another_identifier_is_refused() -> None:
    with pytest.raises(DamagedError, match="no TFL3 file"):
        root(buffer(), b"TFL3")
    with pytest.raises(DamagedError):
        root(b"", b"TEST")


def test_no_cut_file_is_read() -> None:
    data = buffer()
    for size in range(len(data)):
        with pytest.raises(DamagedError):
            read(data[:size])


def test_no_damaged_byte_leads_outside() -> None:
    data = buffer()
    for place in range(len(data)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[place] = value
            try:
                read(bytes(damaged))
            except (DamagedError, AssertionError):
                continue


def test_a_field_outside_its_table_is_refused() -> None:
    data = bytearray(buffer())
    struct.pack_into("<H", data, 10, 4)
    with pytest.raises(DamagedError, match="outside its table"):
        Table(bytes(data), 24)


def test_an_unterminated_text_is_refused() -> None:
    data = buffer().replace(b"abc\0", b"abcd")
    with pytest.raises(DamagedError, match="unterminated"):
        read(data)
