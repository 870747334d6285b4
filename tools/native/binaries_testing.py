"""Reads compiled files: 64-bit little-endian ELF (System V ABI, chapters 4 and 5) and Mach-O (Apple's mach-o/loader.h)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

LOCAL, GLOBAL, WEAK = 0, 1, 2
SYMTAB, STRTAB, DYNAMIC, DYNSYM = 2, 3, 6, 11
NEEDED = 1
MACHINES = {62: "x86_64", 183: "aarch64"}
ARM64 = 0x0100000C
LOAD_DYLIB, CODE_SIGNATURE, BUILD_VERSION = 0xC, 0x1D, 0x32
KNOWN = {
    *("libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1"),
    *("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"),
}
"""The libraries of glibc."""


def _sections(content: bytes) -> list[tuple[int, int, int, int]]:
    """Kind, offset, length and link of an ELF file's sections."""
    assert content[:6] == b"\x7fELF\x02\x01"
    (offset,) = struct.unpack_from("<Q", content, 40)
    size, count = struct.unpack_from("<HH", content, 58)
    headers = (struct.unpack_from("<IIQQQQIIQQ", content, offset + i * size) for i in range(count))
    return [(header[1], header[4], header[5], header[6]) for header in headers]


def _text(content: bytes, place: int) -> str:
    return content[place : content.index(b"\0", place)].decode()


def machine(content: bytes) -> str:
    """The processor of an ELF file, as `platform.machine()` names it."""
    assert content[:6] == b"\x7fELF\x02\x01"
    return MACHINES[struct.unpack_from("<H", content, 18)[0]]


def symbols(content: bytes, table: int) -> Iterator[tuple[str, int, bool]]:
    """Name, binding and whether it is defined, of an ELF file's symbols."""
    sections = _sections(content)
    for _, start, length, link in (section for section in sections if section[0] == table):
        for place in range(start, start + length, 24):
            name, info, _, section = struct.unpack_from("<IBBH", content, place)
            yield _text(content, sections[link][1] + name), info >> 4, section != 0


def needed(content: bytes) -> set[str]:
    """The shared libraries that an ELF file loads."""
    sections = _sections(content)
    found = set()
    for _, start, length, link in (section for section in sections if section[0] == DYNAMIC):
        entries = (struct.unpack_from("<QQ", content, place) for place in range(start, start + length, 16))
        found |= {_text(content, sections[link][1] + value) for tag, value in entries if tag == NEEDED}
    return found


def glibc(content: bytes) -> tuple[int, ...]:
    """The newest version of glibc that an ELF file asks for; (0,) where it asks for none."""
    tables = [
        content[start : start + length] for kind, start, length, _ in _sections(content) if kind == STRTAB
    ]
    found = re.findall(rb"\0GLIBC_([0-9.]+)(?=\0)", b"".join(tables))
    return max((tuple(map(int, version.split(b"."))) for version in found), default=(0,))


def load_commands(content: bytes) -> dict[int, list[bytes]]:
    """The load commands of a Mach-O file for arm64, by their kind."""
    magic, cputype, _, _, count = struct.unpack_from("<IIIII", content)
    assert (magic, cputype) == (0xFEEDFACF, ARM64)
    place = 32
    commands: dict[int, list[bytes]] = {}
    for _ in range(count):
        kind, size = struct.unpack_from("<II", content, place)
        commands.setdefault(kind, []).append(content[place : place + size])
        place += size
    return commands
