"""Which activations hold integers, and between which limits: casts of masks and signs to integer types and back change no value.

A deployed graph computes in float32. Integer arithmetic on activations gives the same numbers there as long as nothing overflows its type
and nothing exceeds 2^24, which the limits show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.ops import Op

Limits = tuple[int, int]
_LARGEST = 2**24


def limits_of(op: Op, inputs: Sequence[Limits | None]) -> Limits | None:
    """Smallest and largest value of a result that holds integers only, or None where nothing is known."""
    if isinstance(op, ops.TorchSign):
        return (-1, 1)
    if isinstance(op, ops.Compare | ops.Logical | ops.LogicalNot):
        return (0, 1)
    if isinstance(op, ops.Constant):
        return _of_constant(op.value)
    known = [limits for limits in inputs if limits is not None]
    if len(known) < len(inputs):
        # A choice has a condition in front, which is known.
        return None
    if isinstance(op, ops.ToFloat):
        return known[0]
    if isinstance(op, ops.Relu):
        return (max(known[0][0], 0), max(known[0][1], 0))
    if isinstance(op, ops.Where):
        return (min(known[1][0], known[2][0]), max(known[1][1], known[2][1]))
    return _arithmetic(op, known)


def _of_constant(value: np.ndarray[Any, Any]) -> Limits | None:
    numbers = value.astype(np.float64)
    if not numbers.size or not np.all(np.isfinite(numbers)) or np.any(numbers != np.rint(numbers)):
        return None
    return (int(numbers.min()), int(numbers.max()))


_PAIRS: dict[type[Op], Callable[[int, int], int]] = {
    ops.Add: lambda a, b: a + b,
    ops.Sub: lambda a, b: a - b,
    ops.Mul: lambda a, b: a * b,
    ops.Maximum: max,
}


def _arithmetic(op: Op, known: Sequence[Limits]) -> Limits | None:
    if isinstance(op, ops.Unary):
        if op.function not in ("neg", "abs", "square"):
            return None
        ends = [{"neg": -x, "abs": abs(x), "square": x * x}[op.function] for x in known[0]]
        ends += [0] if op.function != "neg" and known[0][0] <= 0 <= known[0][1] else []
    elif type(op) in _PAIRS:
        ends = [_PAIRS[type(op)](a, b) for a in known[0] for b in known[1]]
    else:
        return None
    return (min(ends), max(ends))


def check_type(dtype: torch.dtype, limits: Limits | None) -> None:
    """Makes sure that a result of another type than float32 and bool holds the same numbers in float32.

    Raises:
        GraphError: it need not.
    """
    if dtype in (torch.float32, torch.bool):
        return
    if limits is None:
        raise ops.GraphError(f"it computes in {dtype}, and the network has to compute in float32")
    allowed = _LARGEST
    low = -_LARGEST
    if dtype.is_floating_point:
        allowed = min(_LARGEST, int(2 / torch.finfo(dtype).eps))
        low = -allowed
    else:
        info = torch.iinfo(dtype)
        low, allowed = max(low, info.min), min(allowed, info.max)
    if limits[0] < low or limits[1] > allowed:
        raise ops.GraphError(
            f"its values from {limits[0]} to {limits[1]} may overflow {dtype}: compute in float32"
        )
