"""Equality and distance for values of each type that a model can put out.

| type                   | differ                                          | ulps: the distance in units in the last place       |
|------------------------|-------------------------------------------------|-----------------------------------------------------|
| float16, 32 and 64     | their bits do, but for two zeros and two NaNs   | the numbers of the type between them, plus one      |
| integers, 8 to 64 bits | their values do                                 | the difference                                      |
| booleans               | their values do                                 | 1                                                   |

Nothing is rounded on the way: an int64 or a float64 has values that float32 does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.ops import Array

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NAMES = frozenset((*FLOATS, *INTEGERS, "bool"))
"""The types that can be compared, as NumPy calls them."""


def in_one_type(a: Array, b: Array, what: str) -> tuple[Array, Array]:
    """The two in one type, without rounding: integers of different widths are widened, other types have to be the same.

    Args:
        a: one side's values.
        b: the other's.
        what: they are, for the message.

    Raises:
        ModelRefusedError: there is no type that holds both.
    """
    for values in (a, b):
        if values.dtype.name not in NAMES:
            raise ModelRefusedError(f"{what} is {values.dtype}: only numbers and booleans are compared")
    if a.dtype == b.dtype:
        return a, b
    if all(values.dtype.kind in "iu" and values.dtype != np.uint64 for values in (a, b)):
        return a.astype(np.int64), b.astype(np.int64)
    raise ModelRefusedError(
        f"{what} is {a.dtype} on one side and {b.dtype} on the other: values of two types are not compared by bits; "
        "export both models with the same type of output"
    )


def bits(values: Array) -> Array:
    """The bits of each value as an unsigned integer of its width."""
    plain = np.ascontiguousarray(values).reshape(np.shape(values))
    return plain.view(np.dtype(f"u{values.dtype.itemsize}"))


def unlike(a: Array, b: Array) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where two arrays of one type differ, and where they are zeros of opposite sign, which is no difference.

    Whole numbers throughout: where a library has told the processor to flush denormals, `==` calls them zero.
    """
    bits_a, bits_b = bits(a), bits(b)
    differ = np.asarray(bits_a != bits_b)
    if a.dtype.kind != "f":
        return differ, np.zeros_like(differ)
    magnitude_a, magnitude_b = _magnitudes(bits_a), _magnitudes(bits_b)
    infinity = bits(np.array(np.inf, a.dtype))
    zeros = differ & ((magnitude_a | magnitude_b) == 0)
    both_nan = (magnitude_a > infinity) & (magnitude_b > infinity)
    return differ & ~zeros & ~both_nan, zeros


def _magnitudes(patterns: Array) -> Array:
    kind = patterns.dtype.type
    return np.asarray(patterns & kind(np.iinfo(kind).max >> 1))


def ordinals(values: Array) -> NDArray[np.int64]:
    """Numbers floats in their order: neighbours get neighbouring integers, -0 and +0 both 0. Integers and booleans number themselves."""
    if values.dtype.kind != "f":
        return values.astype(np.int64)
    patterns = bits(values)
    magnitude = _magnitudes(patterns)
    return np.where(patterns != magnitude, -magnitude.astype(np.int64), magnitude.astype(np.int64))


def max_ulps(a: Array, b: Array) -> int:
    """The largest distance of values without NaN in units in the last place; see the module."""
    numbers = ordinals(a), ordinals(b)
    # Modulo 2^64: the distance of two int64 values need not be one.
    larger, smaller = (np.asarray(pick(*numbers)).view(np.uint64) for pick in (np.maximum, np.minimum))
    if a.dtype == np.uint64:
        larger, smaller = np.maximum(a, b), np.minimum(a, b)
    return int((larger - smaller).max())


def distances(a: Array, b: Array) -> NDArray[np.float64]:
    """The absolute differences of values without NaN, as float64; infinite where float64 has no room for one."""
    if a.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.asarray(np.abs(a.astype(np.float64) - b.astype(np.float64)))
    if a.dtype == np.uint64:
        return np.asarray(np.maximum(a, b) - np.minimum(a, b)).astype(np.float64)
    larger, smaller = (np.asarray(pick(ordinals(a), ordinals(b))) for pick in (np.maximum, np.minimum))
    return np.asarray(larger.view(np.uint64) - smaller.view(np.uint64)).astype(np.float64)


def nans(values: Array) -> NDArray[np.bool_]:
    """Where there is no number."""
    return np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)


def hex_bits(value: float, dtype: DTypeLike) -> str:
    """The bits of one value of a type, such as `0x3f800000`."""
    array = np.array(value, dtype)
    return f"0x{int(bits(array)):0{2 * array.itemsize}x}"
