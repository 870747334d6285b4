"""Sums that are rounded once, hence the same in every order, with any number of threads and on every instruction set.

`math.fsum` gives them, a value at a time. Long sums are taken here by exponent instead: float32 values of one binary exponent are integers
of 24 bits times a power of two (float64 values two integers, of 26 and 27 bits), and a million of those add up exactly in float64. What is
left for `math.fsum` are a few sums per block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.array_types import DoubleArray, FloatArray

_BLOCK = 2**20
_SHORT = 256
_LARGEST_EXPONENT = 900
"""Above it a sum of a block may leave float64's range before it is scaled."""
_BITS_32, _BITS_64, _LOW_BITS = 24, 53, 27


def exact_total(values: FloatArray | DoubleArray) -> float:
    """The sum of a vector, correctly rounded to float64; not finite where a value is not.

    Args:
        values: float32 or float64, [N].
    """
    if len(values) > _SHORT:
        terms = [
            term for start in range(0, len(values), _BLOCK) for term in _terms(values[start : start + _BLOCK])
        ]
        if all(map(math.isfinite, terms)):
            return math.fsum(terms)
    return math.fsum(values.tolist())


def _terms(block: FloatArray | DoubleArray) -> Iterator[float]:
    """Floats whose exact sum is that of the block; one that is not finite where they cannot be had."""
    mantissas, exponents = np.frexp(block)
    lowest = int(exponents.min())
    bins: NDArray[np.int64] = (exponents - lowest).astype(np.int64)
    if int(exponents.max()) > _LARGEST_EXPONENT:
        yield math.inf
    elif block.dtype == np.float32:
        yield from _scaled(bins, np.ldexp(mantissas, _BITS_32), lowest - _BITS_32)
    else:
        whole = np.ldexp(mantissas, _BITS_64)
        high = np.trunc(np.ldexp(whole, -_LOW_BITS))
        yield from _scaled(bins, high, lowest - _BITS_64 + _LOW_BITS)
        low = whole - np.ldexp(high, _LOW_BITS)
        if np.any(low):
            yield from _scaled(bins, low, lowest - _BITS_64)


def _scaled(bins: NDArray[np.int64], integers: FloatArray | DoubleArray, exponent: int) -> Iterator[float]:
    for place, total in enumerate(np.bincount(bins, weights=integers).tolist()):
        if total:
            yield math.ldexp(total, exponent + place)
