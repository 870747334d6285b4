"""Operators that add many values: convolutions, dense layers, means. Each has to be exact in every order of summation.

An order is any tree of additions, with or without fused multiply-add; transforms of the operands (Winograd, FFT) are none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.prove import fusion
from fdabnn_deploy.prove.domain import (
    ZERO_GRID,
    Constants,
    Doubles,
    Ints,
    LinearSum,
    Value,
    fits,
    is_power_of_two,
    of_constant,
    require_normal,
    require_ordinary,
    rounded,
)
from fdabnn_deploy.prove.geometry import Windows
from fdabnn_deploy.prove.result import Judged, proven_bound
from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_deploy.prove.transfer.move import reshape

_CHUNK = 1 << 21
"""Weights looked at together; more would only cost memory."""


def along(values: NDArray[Any], axis: int, size: int, choose: Callable[..., Any]) -> NDArray[Any]:
    """One number per place of a dimension: `choose` of all others, `np.max` or `np.min`."""
    others = tuple(i for i in range(values.ndim) if i != axis)
    return np.broadcast_to(choose(values, axis=others), (size,))


def _placed(values: NDArray[Any], axis: int, rank: int) -> NDArray[Any]:
    shape = [1] * rank
    shape[axis] = values.size
    return values.reshape(shape)


def linear(
    x: Value,
    weight: Constants,
    bias: Constants | None,
    groups: int,
    axis: int,
    windows: Windows | None,
    residual: Value | None = None,
) -> Judged:
    """A convolution or dense layer.

    Args:
        x: operand.
        weight: float32 [O, I / groups, taps].
        bias: float32 [O] or None.
        groups: of the convolution.
        axis: of the channels.
        windows: None of a dense layer.
        residual: a tensor that is added inside.

    Raises:
        UnprovedError: a partial sum may be inexact.
    """
    require_ordinary(x)
    outputs, group_inputs, _ = weight.shape
    channels = group_inputs * groups
    if x.shape[axis] != channels:
        raise UnprovedError(f"{x.shape[axis]} channels meet weights for {channels}")
    reach_x = fusion.operand_reach(x)
    operand = _Operand(
        along(reach_x, axis, channels, np.max),
        along(x.low, axis, channels, np.min),
        along(x.high, axis, channels, np.max),
        along(x.grid, axis, channels, np.max),
    )
    if windows is not None and windows.padded(x.shape):
        operand = replace(operand, low=np.minimum(operand.low, 0), high=np.maximum(operand.high, 0))
    reach, low, high, grid = _totals(operand, weight, groups)
    offset: Doubles = np.zeros(outputs)
    apart = False
    if bias is not None:
        added = of_constant(bias)
        apart = bool(np.all(added.grid > grid))
        offset = np.abs(added.low)
        low, high, grid = low + added.low, high + added.low, np.maximum(grid, added.grid)
    rank = len(x.shape)
    history = LinearSum(_placed(reach, axis, rank), _placed(offset, axis, rank), _placed(grid, axis, rank))
    total = history.reach + history.offset
    result_grid = history.grid
    result_low, result_high = _placed(low, axis, rank), _placed(high, axis, rank)
    if residual is not None:
        require_ordinary(residual, "what is added inside")
        total, result_grid = total + residual.magnitude, np.maximum(result_grid, residual.grid)
        result_low, result_high = result_low + residual.low, result_high + residual.high
    single = group_inputs * weight.shape[2] == 1 and bias is None and residual is None
    bound = None
    if not single or fits(total, result_grid):
        bound = proven_bound(total, result_grid, "its sum")
        rounded(result_low, result_high)
    else:
        require_normal(result_grid, total)
        result_low, result_high = rounded(result_low, result_high)
    shape = (*x.shape[:axis], outputs, *x.shape[axis + 1 :])
    if windows is not None:
        shape = windows.output(shape)
    value = Value(
        shape,
        result_low,
        result_high,
        result_grid,
        negative_zero=not apart and not (x.signs and bool(np.all(weight)) and bias is None),
        sum=history if residual is None else None,
    )
    if bound is None:
        return Judged(value, "pointwise", "one product for each result, rounded once")
    if value.integer:
        return Judged(value, "exact integer", "integers, each partial sum at most the bound", bound)
    return Judged(
        value, "exact sum", "each partial sum is a multiple of the grid and at most the bound", bound
    )


def dense(x: Value, weight: Constants, bias: Constants | None, keep: bool) -> Judged:
    """TFLite's dense layer: x is reshaped to [-1, K], K being the length of a row of the weights, if its last dimension is not K.

    Raises:
        UnprovedError: see `linear`.
    """
    if x.shape[-1] != weight.shape[1]:
        flat = reshape(x, (-1, weight.shape[1])).value
        assert isinstance(flat, Value)
        x = flat
    judged = linear(x, weight, bias, 1, len(x.shape) - 1, None)
    if keep or len(x.shape) == 2:
        return judged
    assert isinstance(judged.value, Value)
    return replace(judged, value=reshape(judged.value, (-1, weight.shape[0])).value)


@dataclass(frozen=True)
class _Operand:
    """Per channel: the magnitude that counts for the bound, the limits and the grid."""

    reach: Doubles
    low: Doubles
    high: Doubles
    grid: Ints


def _totals(x: _Operand, weight: Constants, groups: int) -> tuple[Doubles, Doubles, Doubles, Ints]:
    """Per output channel: `sum |w| reach`, lowest and highest sum, and the grid of the products."""
    outputs, group_inputs, taps = weight.shape
    group_outputs = outputs // groups
    reach, low, high = np.zeros(outputs), np.zeros(outputs), np.zeros(outputs)
    grid = np.full(outputs, ZERO_GRID, dtype=np.int64)
    step = max(1, _CHUNK // max(1, group_inputs * taps))
    for group in range(groups):
        inside = slice(group * group_inputs, (group + 1) * group_inputs)
        for begin in range(group * group_outputs, (group + 1) * group_outputs, step):
            chosen = slice(begin, min(begin + step, (group + 1) * group_outputs))
            known = of_constant(weight[chosen])
            part = known.low
            positive, negative = np.maximum(part, 0).sum(axis=2), np.minimum(part, 0).sum(axis=2)
            reach[chosen] = (positive - negative) @ x.reach[inside]
            high[chosen] = positive @ x.high[inside] + negative @ x.low[inside]
            low[chosen] = positive @ x.low[inside] + negative @ x.high[inside]
            bits = known.grid.max(axis=2) + x.grid[inside]
            grid[chosen] = np.maximum(bits, ZERO_GRID).max(axis=1)
    return reach, low, high, grid


def reduce(x: Value, axes: Iterable[int], keep: bool, mean: bool) -> Judged:
    """Sum or mean over dimensions.

    Raises:
        UnprovedError: a partial sum may be inexact, or the divisor is no power of two.
    """
    require_ordinary(x)
    axes = tuple(sorted(axis % len(x.shape) for axis in axes))
    if 0 in axes:
        raise UnprovedError("it mixes the images of a batch")
    count = int(np.prod([x.shape[axis] for axis in axes]))
    value, bound = _scaled_total(x, count, mean)
    full = [1 if i in axes else size for i, size in enumerate(x.shape)]

    shape = tuple(full) if keep else tuple(size for i, size in enumerate(x.shape) if i not in axes)
    value = Value(
        shape,
        value.low.min(axis=axes, keepdims=keep),
        value.high.max(axis=axes, keepdims=keep),
        value.grid.max(axis=axes, keepdims=keep),
        negative_zero=x.negative_zero,
    )
    return _sum_row(value, bound, count, mean)


def average(x: Value, windows: Windows, count_padding: bool) -> Judged:
    """Mean of windows.

    Raises:
        UnprovedError: see `reduce`.
    """
    require_ordinary(x)
    taps = int(np.prod(windows.kernel))
    counts = {taps}
    if not count_padding:
        counts = {1}
        for inside in windows.counts(x.shape):
            counts = {a * b for a in counts for b in inside}
    if 0 in counts:
        raise UnprovedError("a window lies in the padding completely")
    if not all(is_power_of_two(np.array(count)) for count in counts):
        raise UnprovedError(_division(max(counts - {1 << n for n in range(24)})))
    _, bound = _scaled_total(x, taps, mean=False)
    padded = windows.padded(x.shape)
    axes = windows.axes
    low, high = x.low.min(axis=axes, keepdims=True), x.high.max(axis=axes, keepdims=True)
    value = Value(
        windows.output(x.shape),
        np.minimum(low, 0) if padded else low,
        np.maximum(high, 0) if padded else high,
        x.grid.max(axis=axes, keepdims=True) + int(np.log2(max(counts))),
        negative_zero=x.negative_zero,
    )
    return _sum_row(value, bound, max(counts), mean=True)


def _division(count: int) -> str:
    return f"it divides by {count}, which some runtimes do and others multiply by the rounded 1/{count}"


def _scaled_total(x: Value, count: int, mean: bool) -> tuple[Value, float]:
    if mean and not is_power_of_two(np.array(count)):
        raise UnprovedError(_division(count))
    bound = proven_bound(x.magnitude * count, x.grid, "its sum")
    if mean:
        return replace(x, grid=x.grid + int(np.log2(count))), bound
    return replace(x, low=x.low * count, high=x.high * count), bound


def _sum_row(value: Value, bound: float, count: int, mean: bool) -> Judged:
    require_normal(value.grid, value.magnitude)
    why = f"each partial sum of {count} values is exact" + (", and so is the division by 2^n" if mean else "")
    return Judged(value, "exact integer" if value.integer else "exact sum", why, bound)


def largest_of_windows(x: Value, windows: Windows) -> Judged:
    """Max-pooling; padding counts as minus infinity.

    Raises:
        UnprovedError: NaN may arrive, or a window lies in the padding completely.
    """
    if x.nan:
        raise UnprovedError("NaN may arrive, and the maximum of NaN differs between runtimes")
    if any(0 in counts for counts in windows.counts(x.shape, x.floor)):
        raise UnprovedError("a window lies in the padding completely")
    value = replace(
        x,
        shape=windows.output(x.shape),
        low=x.low.min(axis=windows.axes, keepdims=True),
        high=x.high.max(axis=windows.axes, keepdims=True),
        grid=x.grid.max(axis=windows.axes, keepdims=True),
        floor=None,
        constant=None,
    )
    return Judged(fusion.without_history(value), "pointwise", "chooses among values, rounds nothing")
