"""Telling a binary weight from a float one: `W = s_o * B + b_o` with B of +-1, and one scale and offset per output channel."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.array_types import DoubleArray, FloatArray
from fdabnn_deploy.ir.evaluation import rows64
from fdabnn_deploy.ir.expression import Expression, simplify


@dataclass(frozen=True, eq=False)
class BinaryWeight:
    """A weight tensor [O, ...] as signs times a scale per output channel, and an offset where its two values are not opposite.

    Attributes:
        signs: int8 of +-1, the shape of the weight.
        scale: float64 [O], not negative (a negative scale is moved into the signs).
        offset: float64 [O].
        zeros: flat indices where the trained weight is exactly 0 in a channel that is not all zeros: a third value. Here they are +1.
        float32_disagreements: how many signs differ from those that PyTorch computed in float32, where the expression before the sign is
            so close to 0 that its rounding decides.
    """

    signs: NDArray[np.int8]
    scale: DoubleArray
    offset: DoubleArray
    zeros: tuple[int, ...]
    float32_disagreements: int

    def planes(self) -> tuple[NDArray[np.int8], ...]:
        """Tensors of +-1 whose mean is the weight without its scale: one, or with zeros two, which differ there."""
        if not self.zeros:
            return (self.signs,)
        other = self.signs.copy()
        other.reshape(-1)[list(self.zeros)] = -1
        return (self.signs, other)

    @property
    def values(self) -> DoubleArray:
        """The weight itself, its zeros left out."""
        per_channel = (-1, *(1,) * (self.signs.ndim - 1))
        values: DoubleArray = self.signs * self.scale.reshape(per_channel) + self.offset.reshape(per_channel)
        return values


_KNOWN: WeakKeyDictionary[Expression, BinaryWeight | str] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class _Channels:
    """Facts of some output channels of a weight.

    Attributes:
        finite: whether all values are.
        signs: int8 of +-1, [o, taps].
        scale: the largest magnitude per channel.
        zeros: bool, [o, taps]: exact zeros in channels that have other values, too.
        uneven: bool [o]: channels with several magnitudes besides 0.
        disagreements: signs that differ from PyTorch's.
    """

    finite: bool
    signs: NDArray[np.int8]
    scale: DoubleArray
    zeros: NDArray[np.bool_]
    uneven: NDArray[np.bool_]
    disagreements: int


def _look(values: DoubleArray, captured: FloatArray) -> _Channels:
    """Facts of rows of float64 values [o, taps], beside those that PyTorch computed."""
    magnitudes = np.abs(values)
    scale = magnitudes.max(axis=1)
    zero = magnitudes == 0
    signs = np.where(values < 0, -1, 1).astype(np.int8)
    disagreements = ((captured < 0) != (values < 0)) & (captured != 0) & ~zero
    return _Channels(
        finite=bool(np.all(np.isfinite(scale))),
        signs=signs,
        scale=scale,
        zeros=zero & (scale > 0)[:, None],
        uneven=np.any(~zero & (magnitudes != scale[:, None]), axis=1),
        disagreements=int(np.count_nonzero(disagreements)),
    )


def binary_weight(expression: Expression) -> BinaryWeight | str:
    """Splits a weight into signs, scales and offsets, or returns the reason why it is not binary.

    A weight is binary when, computed in float64, all its non-zero values of one output channel have exactly the same magnitude, or when
    they take two values. Zeros come from `torch.sign(0)`, from masks and from thresholds; they are a third value, and listed. A weight
    without a sign in its expression may be stored as +-s and zeros.
    """
    # A layer is judged for the table of coverage and again by the pass.
    if expression not in _KNOWN:
        _KNOWN[expression] = _split(expression)
    return _KNOWN[expression]


def _split(expression: Expression) -> BinaryWeight | str:
    shape = expression.value.shape
    captured = expression.value.reshape(shape[0], -1)
    simple = simplify(expression)
    parts = [_look(values.reshape(len(values), -1), captured[rows]) for rows, values in rows64(simple)]
    if not all(part.finite for part in parts):
        return "its weight is not finite"
    uneven = np.concatenate([part.uneven for part in parts])
    if np.any(uneven) and not expression.binarised:
        return "its weight is not passed through a sign"
    if np.any(uneven):
        return _two_values(simple, shape)
    return BinaryWeight(
        np.concatenate([part.signs for part in parts]).reshape(shape),
        np.concatenate([part.scale for part in parts]),
        np.zeros(shape[0]),
        tuple(np.flatnonzero(np.concatenate([part.zeros for part in parts])).tolist()),
        sum(part.disagreements for part in parts),
    )


def _two_values(expression: Expression, shape: tuple[int, ...]) -> BinaryWeight | str:
    """A weight whose values of one output channel are two that are not opposite, or one."""
    signs: list[NDArray[np.int8]] = []
    limits: list[DoubleArray] = []
    for rows, values in rows64(expression):
        flat = values.reshape(len(values), -1)
        low, high = flat.min(axis=1), flat.max(axis=1)
        between = np.any((flat != low[:, None]) & (flat != high[:, None]), axis=1)
        if np.any(between):
            channel = rows.start + int(np.argmax(between))
            count = _count_magnitudes(expression, channel)
            return f"its weight takes {count} different magnitudes in output channel {channel}, a binary weight takes one"
        signs.append(np.where(flat == high[:, None], 1, -1).astype(np.int8))
        limits.append(np.stack([low, high]))
    low, high = np.concatenate(limits, axis=1)
    return BinaryWeight(np.concatenate(signs).reshape(shape), (high - low) / 2, (high + low) / 2, (), 0)


def _count_magnitudes(expression: Expression, channel: int) -> int:
    rows, values = next((rows, values) for rows, values in rows64(expression) if channel < rows.stop)
    return len(np.unique(np.abs(values[channel - rows.start])))
