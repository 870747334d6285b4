"""Weights as integers of few bits times a power of two per output channel: what slices of exact layers and weights of +-1 are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.array_types import FloatArray

_WIDE = 16
_SMALLEST, _LARGEST = -100, 100
"""Exponents of two by which float32 scales without leaving its normal numbers."""


@dataclass(frozen=True)
class IntegerWeights:
    """`weight[o] = integers[o] * 2^exponents[o]`.

    Attributes:
        integers: int8 or int16, in the shape of the weights [O, ...].
        exponents: int64 [O].
    """

    integers: NDArray[np.int8] | NDArray[np.int16]
    exponents: NDArray[np.int64]

    @property
    def scales(self) -> FloatArray:
        """`2^exponents`, float32 [O]."""
        found: FloatArray = np.ldexp(np.float32(1), self.exponents.astype(np.int32)).astype(np.float32)
        return found


def integer_weights(weight: FloatArray, bits: int = 16) -> IntegerWeights | None:
    """The integers of weights [O, ...], of 8 bits where they suffice, else of 16; None where more would be needed.

    Args:
        weight: float32.
        bits: at most, 8 or 16.
    """
    rows = weight.reshape(len(weight), -1).astype(np.float64)
    if not np.all(np.isfinite(rows)):
        return None
    mantissa, exponent = np.frexp(rows)
    whole = np.abs(np.ldexp(mantissa, 24)).astype(np.int64)
    trailing = np.where(whole > 0, np.frexp((whole & -whole).astype(np.float64))[1] - 1, 0)
    lowest = np.where(whole > 0, exponent - 24 + trailing, _LARGEST + 1).min(axis=1)
    exponents = np.where(lowest <= _LARGEST, lowest, 0).astype(np.int64)
    if np.any(exponents < _SMALLEST):
        return None
    integers = np.ldexp(rows, -exponents[:, None].astype(np.int32))
    largest = float(np.abs(integers).max(initial=0))
    if largest <= np.iinfo(np.int8).max:
        return IntegerWeights(integers.astype(np.int8).reshape(weight.shape), exponents)
    if bits >= _WIDE and largest <= np.iinfo(np.int16).max:
        return IntegerWeights(integers.astype(np.int16).reshape(weight.shape), exponents)
    return None
