"""Kinds of damage that a file meets: cut in two, bits turned over, blocks lost, moved or mixed with those of other files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from random import Random

Damage = Callable[[bytes, bytes, Random], bytes]
"""Takes a sound file, another sound one of the same kind, and what draws; gives the damaged content."""


def _place(content: bytes, draw: Random) -> tuple[int, int]:
    """A block of up to 256 bytes: where it begins and ends."""
    begin = draw.randrange(len(content))
    return begin, min(len(content), begin + draw.choice((1, 4, 16, 64, 256)))


def _cut(content: bytes, other: bytes, draw: Random) -> bytes:
    return content[: draw.randrange(len(content))]


def _beginning(content: bytes, other: bytes, draw: Random) -> bytes:
    return content[: draw.randrange(17)]


def _one_bit(content: bytes, other: bytes, draw: Random) -> bytes:
    changed = bytearray(content)
    changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def _many_bits(content: bytes, other: bytes, draw: Random) -> bytes:
    for _ in range(64):
        content = _one_bit(content, other, draw)
    return content


def _zeros(content: bytes, other: bytes, draw: Random) -> bytes:
    begin, end = _place(content, draw)
    return content[:begin] + bytes(end - begin) + content[end:]


def _noise(content: bytes, other: bytes, draw: Random) -> bytes:
    begin, end = _place(content, draw)
    return content[:begin] + draw.randbytes(end - begin) + content[end:]


def _lost(content: bytes, other: bytes, draw: Random) -> bytes:
    begin, end = _place(content, draw)
    return content[:begin] + content[end:]


def _inserted(content: bytes, other: bytes, draw: Random) -> bytes:
    begin, end = _place(content, draw)
    return content[:begin] + draw.randbytes(end - begin) + content[begin:]


def _twice(content: bytes, other: bytes, draw: Random) -> bytes:
    begin, end = _place(content, draw)
    return content[:end] + content[begin:]


def _swapped(content: bytes, other: bytes, draw: Random) -> bytes:
    a, b, c, d = sorted(draw.randrange(len(content) + 1) for _ in range(4))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _number(content: bytes, other: bytes, draw: Random) -> bytes:
    """A number of 32 bits, such as a length or an offset, becomes an extreme one."""
    begin = 4 * draw.randrange(max(1, len(content) // 4))
    value = draw.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x00FFFFFF, len(content)))
    return content[:begin] + value.to_bytes(4, "little") + content[begin + 4 :]


def _head(content: bytes, other: bytes, draw: Random) -> bytes:
    """The same where headers are."""
    size = min(len(content), 512)
    return _number(content[:size], other, draw) + content[size:]


def _tail(content: bytes, other: bytes, draw: Random) -> bytes:
    size = draw.randrange(1, 257)
    return content[:-size] + draw.randbytes(draw.randrange(2 * size))


def _mixed(content: bytes, other: bytes, draw: Random) -> bytes:
    """The front of one file with the back of another, as where two downloads meet."""
    differing = [place for place, (a, b) in enumerate(zip(content, other, strict=False)) if a != b]
    # Of both files at least one byte in which they differ; else it is a sound one.
    place = (
        draw.randint(differing[0] + 1, differing[-1]) if len(differing) > 1 else draw.randrange(len(content))
    )
    return content[:place] + other[place:]


KINDS: dict[str, Damage] = {
    "cut": _cut,
    "only its beginning": _beginning,
    "one bit": _one_bit,
    "64 bits": _many_bits,
    "a block of zeros": _zeros,
    "a block of noise": _noise,
    "a block lost": _lost,
    "a block inserted": _inserted,
    "a block twice": _twice,
    "blocks swapped": _swapped,
    "an extreme number": _number,
    "an extreme number in the head": _head,
    "the tail": _tail,
    "mixed with another": _mixed,
}


def inside_a_zip(content: bytes, other: bytes, draw: Random) -> bytes:
    """Damage of one member, whose checksums in the zip are made anew: no sum can tell it, only what reads the content."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = draw.choice(sorted(name for name, data in members.items() if data))
    damage = KINDS[draw.choice([kind for kind in KINDS if kind != "mixed with another"])]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for each, data in members.items():
            archive.writestr(each, damage(data, data, draw) if each == name else data)
    return made.getvalue()
