"""Sign packing at every level against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library, reference

POOLS = {threads: library.Pool(threads) for threads in (1, 2, 3)}

# +0, -0, the smallest negative and positive number, infinities, NaNs of both signs with the smallest and largest payloads.
CURIOUS = np.array(
    [
        0,
        0x80000000,
        0x80000001,
        1,
        0xFF800000,
        0x7F800000,
        0xFF800001,
        0x7F800001,
        0xFFFFFFFF,
        0x7FFFFFFF,
        0xFF7FFFFF,
        0x807FFFFF,
    ],
    np.uint32,
).view(np.float32)

shapes = st.tuples(st.integers(0, 40), st.one_of(st.integers(1, 70), st.integers(1, 520)))
seeds = st.integers(0, 2**32 - 1)
threads = st.sampled_from(sorted(POOLS))


def draw(shape: tuple[int, ...], dtype: str, seed: int) -> NDArray[Any]:
    generator = np.random.default_rng(seed)
    if dtype == "bool":
        return generator.integers(0, 2, shape).astype(np.bool_)
    if dtype == "int8":
        return generator.integers(-128, 128, shape).astype(np.int8)
    values = generator.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32)
    return np.where(generator.random(shape) < 0.5, generator.choice(CURIOUS, shape), values)


@given(shapes, seeds, threads)
@example((300, 96), 0, 3)
@example((700, 33), 0, 2)
def test_floats(shape: tuple[int, int], seed: int, count: int) -> None:
    values = draw(shape, "float32", seed)
    with np.errstate(invalid="ignore"):
        expected = reference.pack(values < 0)
    for level in library.levels():
        np.testing.assert_array_equal(
            library.quantize(values, level=level, pool=POOLS[count]), expected, err_msg=level
        )


def test_every_kind_of_float_in_every_place() -> None:
    values = np.full((64, 64), 1, np.float32)
    for curious in CURIOUS:
        np.fill_diagonal(values, curious)
        for channels in range(1, 65):
            part = values[:, :channels].copy()
            for level in library.levels():
                np.testing.assert_array_equal(
                    library.quantize(part, level=level), reference.pack(part < 0), err_msg=level
                )


@given(
    shapes,
    seeds,
    threads,
    st.one_of(st.integers(-128, 127), st.sampled_from([-(2**31), -129, 128, 129, 2**31 - 1])),
)
@example((300, 96), 0, 3, 128)
@example((300, 97), 0, 3, 3)
def test_int8(shape: tuple[int, int], seed: int, count: int, zero_point: int) -> None:
    values = draw(shape, "int8", seed)
    expected = reference.pack(values.astype(np.int64) < zero_point)
    for level in library.levels():
        words = library.quantize(values, zero_point=zero_point, level=level, pool=POOLS[count])
        np.testing.assert_array_equal(words, expected, err_msg=level)


@given(shapes, seeds, threads)
@example((1200, 97), 0, 3)
def test_bools(shape: tuple[int, int], seed: int, count: int) -> None:
    values = draw(shape, "bool", seed)
    for level in library.levels():
        words = library.quantize(values, level=level, pool=POOLS[count])
        np.testing.assert_array_equal(words, reference.pack(~values), err_msg=level)


@given(shapes, seeds, threads, st.integers(0, 255), st.integers(0, 255))
@example((1200, 97), 0, 3, 1, 0)
@example((1200, 96), 0, 3, 127, 129)
def test_and_back(shape: tuple[int, int], seed: int, count: int, plus: int, minus: int) -> None:
    rows, channels = shape
    words = np.random.default_rng(seed).integers(0, 2**32, (rows, -(-channels // 32)), dtype=np.uint32)
    bits = reference.unpack(words, channels)
    for level in library.levels():
        floats = library.dequantize(words, channels, level=level, pool=POOLS[count])
        np.testing.assert_array_equal(floats, np.where(bits, -1, 1).astype(np.float32), err_msg=level)
        octets = library.dequantize_bytes(words, channels, plus, minus, level=level, pool=POOLS[count])
        np.testing.assert_array_equal(octets, np.where(bits, minus, plus).astype(np.uint8), err_msg=level)


def test_refusals() -> None:
    with pytest.raises(UsageError, match="0 channels"):
        library.quantize(np.zeros((3, 0), np.float32))
    with pytest.raises(UsageError, match="float64"):
        library.quantize(np.zeros((3, 3)))
    with pytest.raises(UsageError, match="no level is called 'sse9'"):
        library.quantize(np.zeros((3, 3), np.float32), level="sse9")
    with pytest.raises(UsageError, match=r"not uint32 \[3, 2\]"):
        library.dequantize(np.zeros((3, 1), np.uint32), 64)
