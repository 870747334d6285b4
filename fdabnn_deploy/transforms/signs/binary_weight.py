"""Telling a binary weight from a float one: `W = s_o * B` with B of +-1 and one scale per output channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.expression import Expression, evaluate64, simplify


@dataclass(frozen=True, eq=False)
class BinaryWeight:
    """A weight tensor [O, ...] as signs times a scale per output channel.

    Attributes:
        signs: int8 of +-1, the shape of the weight.
        scale: float64 [O], not negative (a negative scale is moved into the signs).
        zeros: flat indices where the trained weight is exactly 0 in a channel that is not all zeros: a third value. Here they are +1.
        float32_disagreements: how many signs differ from those that PyTorch computed in float32, where the expression before the sign is
            so close to 0 that its rounding decides.
    """

    signs: NDArray[np.int8]
    scale: DoubleArray
    zeros: tuple[int, ...]
    float32_disagreements: int

    def planes(self) -> tuple[NDArray[np.int8], ...]:
        """Tensors of +-1 whose mean is the weight without its scale: one, or with zeros two, which differ there."""
        if not self.zeros:
            return (self.signs,)
        other = self.signs.copy()
        other.reshape(-1)[list(self.zeros)] = -1
        return (self.signs, other)


def binary_weight(expression: Expression, three_valued: bool = False) -> BinaryWeight | str:
    """Splits a weight into signs and scales, or returns the reason why it is not binary.

    A weight is binary when, computed in float64, all its non-zero values of one output channel have exactly the same magnitude. Zeros
    come from `torch.sign(0)`, from masks and from thresholds; they are a third value, and listed. A weight without a sign in its
    expression may be stored as +-s, with zeros only where `three_valued` weights are wanted.
    """
    values = evaluate64(simplify(expression))
    if not np.all(np.isfinite(values)):
        return "its weight is not finite"
    rows = np.abs(values.reshape(values.shape[0], -1))
    scale = rows.max(axis=1)
    zero = rows == 0
    uneven = ~zero & (rows != scale[:, None])
    if not expression.binarised and (np.any(uneven) or (np.any(zero) and not three_valued)):
        return "its weight is not passed through a sign"
    if np.any(uneven):
        channel = int(np.argmax(uneven.any(axis=1)))
        count = len(np.unique(rows[channel]))
        return f"its weight takes {count} different magnitudes in output channel {channel}, a binary weight takes one"
    signs = np.where(values < 0, -1, 1).astype(np.int8)
    unresolved = zero & (scale > 0)[:, None]
    captured = np.where(expression.value < 0, -1, 1)
    disagreements = int(np.sum((captured != signs) & (expression.value != 0) & (values != 0)))
    return BinaryWeight(signs, scale, tuple(np.flatnonzero(unresolved).tolist()), disagreements)
