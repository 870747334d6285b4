from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.errors import ModelRefusedError, NotWrittenError, UsageError
from fdabnn_deploy.verify import capsule as capsules
from fdabnn_deploy.verify.capsule import Capsule, PackedSigns, Tensor, fnv1a64, hash_words, pack_signs


def example(count: int = 3, seed: int = 0) -> Capsule:
    """Everything a capsule can hold, odd bit patterns included."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2**32, (count, 4, 5, 3), np.uint32, endpoint=False)
    bits[0, 0, 0] = 0x80000000, 0x7F800001, 1
    return Capsule(
        target="tflite",
        exact=True,
        model=rng.bytes(1001),
        inputs=(Tensor("image", bits.view(np.float32)), Tensor("bias", np.zeros((count, 4), np.float32))),
        outputs=(Tensor("output", rng.standard_normal((count, 10)).astype(np.float32)),),
        packed=(PackedSigns("größe/sign", (4, 5, 1), rng.integers(0, 2**64, count, np.uint64)),),
    )


def same(a: Capsule, b: Capsule) -> bool:
    """Equal in every bit."""
    return capsules.to_bytes(a) == capsules.to_bytes(b)


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"", 0xCBF29CE484222325), (b"a", 0xAF63DC4C8601EC8C), (b"foobar", 0x85944171F73967E8)],
)
def test_the_hash_has_its_published_values(text: bytes, value: int) -> None:
    assert fnv1a64(np.frombuffer(text * 2, np.uint8).reshape(2, -1)).tolist() == [value, value]


@given(st.integers(0, 2**31 - 1), st.integers(0, 9), st.integers(0, 31))
def test_every_bit_changes_the_hash(seed: int, word: int, bit: int) -> None:
    words = np.random.default_rng(seed).integers(-(2**31), 2**31, (1, 10)).astype(np.int32)
    changed = words.copy()
    changed.view(np.uint32)[0, word] ^= np.uint32(1 << bit)
    assert hash_words(words) != hash_words(changed)


def test_signs_are_packed_along_channels() -> None:
    signs = np.ones((1, 35, 1, 2), np.float32)
    signs[0, 0, 0, 0] = signs[0, 31, 0, 0] = signs[0, 33, 0, 1] = -1
    words = pack_signs(signs)
    assert words.shape == (1, 1, 2, 2)
    assert words.view(np.uint32)[0, 0].tolist() == [[0x80000001, 0], [0, 2]]
    assert pack_signs(np.array([[1.0, -1.0, 1.0]], np.float32)).tolist() == [[[[2]]]]


@given(st.integers(1, 4), st.integers(0, 1000))
def test_what_is_written_is_read(count: int, seed: int) -> None:
    written = example(count, seed)
    read = capsules.from_bytes(capsules.to_bytes(written))
    assert same(read, written)
    assert len(read) == count
    assert [t.shape for t in read.inputs] == [(4, 5, 3), (4,)]
    assert read.packed[0].name == "größe/sign"
    assert np.array_equal(read.packed[0].hashes, written.packed[0].hashes)
    assert (read.target, read.exact, read.model) == ("tflite", True, written.model)
    assert not capsules.from_bytes(capsules.to_bytes(replace(written, exact=False))).exact
    assert not read.same_accuracy
    changed = capsules.from_bytes(capsules.to_bytes(replace(written, same_accuracy=True)))
    assert (changed.exact, changed.same_accuracy) == (True, True)


def test_the_layout_is_the_documented_one() -> None:
    content = capsules.to_bytes(example())
    text = (Path(__file__).parents[2] / "docs" / "capsule.md").read_text()
    assert content[:8] == b"FDABNCAP"
    assert content[24:40] == b"tflite".ljust(16, b"\0")
    model, model_bytes, table, entries, inputs = struct.unpack_from("<QQQII", content, 40)
    assert content[model : model + model_bytes] == example().model
    assert (model % 64, table, entries, inputs) == (0, 80, 4, 3)
    name, data, octets, kind, rank, height = struct.unpack_from("<QQQIII", content, table + 3 * 64)
    assert content[name:].startswith("größe/sign\0".encode())
    assert (octets, kind, rank, height, data % 64) == (80, 2, 3, 4, 0)
    for word in ("FDABNCAP", "80 bytes", "64 bytes", "0xcbf29ce484222325", "0x100000001b3", "CRC-32"):
        assert word in text


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "net.capsule"
    capsules.write_capsule(path, example())
    assert same(capsules.read_capsule(path), example())
    assert [child.name for child in path.parent.iterdir()] == ["net.capsule"]
    with pytest.raises(NotWrittenError, match="cannot write"):
        capsules.write_capsule(path / "below-a-file", example())
    with pytest.raises(UsageError, match="there is no file"):
        capsules.read_capsule(tmp_path / "nothing.capsule")


def test_every_damage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.capsule"
    content = capsules.to_bytes(example())
    rng = np.random.default_rng(0)
    for place in [*range(80), *rng.choice(len(content), 200)]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ModelRefusedError, match=r"net\.capsule is damaged or no capsule"):
            capsules.read_capsule(path)
    for size in [*range(100), len(content) - 1]:
        with pytest.raises(ValueError, match=r"begin|bytes"):
            capsules.from_bytes(content[:size])


@given(st.data())
def test_contradictions_behind_a_sound_checksum_are_refused(data: st.DataObject) -> None:
    content = bytearray(capsules.to_bytes(example()))
    place = data.draw(st.sampled_from([16, *range(40, 72, 4), *range(80, 80 + 64 * 4, 4)]))
    value = data.draw(st.sampled_from([0, 3, 9, 1 << 20, 2**32 - 1]))
    struct.pack_into("<I", content, place, value)
    struct.pack_into("<I", content, 12, zlib.crc32(memoryview(content)[16:]))
    # Sound by chance or refused; any other exception is a crash.
    with suppress(ValueError):
        capsules.from_bytes(bytes(content))
