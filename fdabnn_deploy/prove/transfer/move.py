"""Operators that move values without computing.

Their kinds of steps, and the attributes of each:

| kind | attributes |
|------|------------|
| `identity`, `dequantize` | |
| `pad` | `pads`, `value` |
| `slice` | `ranges`: (begin, end, step) per dimension |
| `slice_axes` | `axes`, `ranges` along them as NumPy takes them |
| `fill_channels` | `block`: channels are filled up with zeros to whole blocks |
| `squeeze` | `axes`, `add`: whether dimensions of 1 are added or removed |
| `reverse` | `axes` |
| `reshape` | `target` |
| `transpose` | `order` |
| `enlarge` | `axes`, `factors` along them: each value that often in a row |
| `gather` | `indices` along `axis` |
| `depth_to_space` | `factor`, channel `axis`, `neighbours`: whether a block's pixels are neighbouring channels (CRD) or far ones (DCR) |
| `concat` | `axis`; it joins several tensors |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.prove.domain import Ints, Shape, Value, of_constant
from fdabnn_deploy.prove.result import Judged
from fdabnn_deploy.prove.rows import UnprovedError

Pair = tuple[int, int]
_MOVED = "values only change places"


def _judged(value: Value, x: Value) -> Judged:
    if x.floor is not None:
        raise UnprovedError("minus infinity arrives from a padding")
    return Judged(value, "moves values", _MOVED)


def _carrying(value: Value, x: Value, move: Any) -> Value:
    """Keeps the history of a convolution in front: converters fold constants through reshapes and transposes."""
    if x.sum is None:
        return value
    return replace(
        value, sum=replace(x.sum, reach=move(x.sum.reach), offset=move(x.sum.offset), grid=move(x.sum.grid))
    )


def identity(x: Value) -> Judged:
    """The same tensor."""
    return Judged(x, "moves values", "a copy")


def cast(x: Value) -> Judged:
    """The same numbers as float32, which holds every integer of 24 bits.

    Raises:
        UnprovedError: they are no integers of few bits.
    """
    if not x.octets:
        raise UnprovedError("it casts something else than bytes")
    return Judged(
        replace(x, octets=False),
        "exact integer",
        "integers of few bits become float32",
        float(x.magnitude.max()),
    )


def transpose(x: Value, order: Sequence[int]) -> Judged:
    """`y = x.transpose(order)`."""

    def move(values: NDArray[Any]) -> NDArray[Any]:
        return values.transpose(order)

    if sorted(order) != list(range(len(x.shape))):
        raise UnprovedError(f"its order {list(order)} does not fit {x.shape}")
    moved = x.moved(tuple(x.shape[i] for i in order), move)
    return _judged(_carrying(moved, x, move), x)


def reshape(x: Value, target: Sequence[int]) -> Judged:
    """The same values in another shape; 0 keeps a dimension, -1 is what remains."""
    sizes = [x.shape[i] if size == 0 and i < len(x.shape) else size for i, size in enumerate(target)]
    if -1 in sizes:
        sizes[sizes.index(-1)] = math.prod(x.shape) // max(1, -math.prod(sizes))
    shape: Shape = tuple(sizes)
    if math.prod(shape) != math.prod(x.shape):
        raise UnprovedError(f"{x.shape} is reshaped to {shape}")
    same_batch = bool(shape) and shape[0] == x.shape[0]

    def move(values: NDArray[Any]) -> NDArray[Any]:
        if values.size == 1:
            return values.reshape((1,) * len(shape))
        if same_batch and values.shape[0] == 1:
            return np.broadcast_to(values, (1, *x.shape[1:])).reshape(1, *shape[1:])
        return np.broadcast_to(values, x.shape).reshape(shape)

    return _judged(_carrying(x.moved(shape, move), x, move), x)


def take(x: Value, ranges: Sequence[tuple[int, int, int]]) -> Judged:
    """`x[b0:e0:s0, b1:e1:s1, ...]`; a negative step runs backwards."""
    if len(ranges) != len(x.shape):
        raise UnprovedError(f"{len(ranges)} ranges for {x.shape}")
    shape = tuple(len(range(*r)) for r in ranges)
    if 0 in shape:
        raise UnprovedError("its result is empty")

    def move(values: NDArray[Any]) -> NDArray[Any]:
        for axis, (begin, end, step) in enumerate(ranges):
            if values.shape[axis] > 1:
                values = np.take(values, np.arange(begin, end, step), axis=axis)
        return values

    return _judged(x.moved(shape, move), x)


def take_axes(x: Value, axes: Sequence[int], ranges: Sequence[tuple[int, int, int]]) -> Judged:
    """`take` along some dimensions, with the ends that NumPy's slices allow."""
    chosen = [(0, size, 1) for size in x.shape]
    for axis, (begin, end, step) in zip(axes, ranges, strict=True):
        chosen[axis] = slice(begin, end, step).indices(x.shape[axis])
    return take(x, chosen)


def fill_channels(x: Value, block: int) -> Judged:
    """Zeros behind the channels of an image [N, C, H, W], up to whole blocks."""
    return pad(x, [(0, 0), (0, -x.shape[1] % block), (0, 0), (0, 0)], 0.0)


def enlarge(x: Value, axes: Sequence[int], factors: Sequence[float]) -> Judged:
    """`y[i] = x[floor(i / factor)]` along some dimensions, where float32 computes that place right, by a product or a quotient."""
    shape = list(x.shape)
    for axis, factor in zip(axes, factors, strict=True):
        if factor < 1 or factor != int(factor):
            raise UnprovedError(f"it resizes by {factor}: runtimes choose neighbours differently")
        shape[axis] *= int(factor)
        places = np.arange(shape[axis], dtype=np.float32)
        for found in (places * np.float32(1 / factor), places / np.float32(factor)):
            if not np.array_equal(np.floor(found), np.arange(shape[axis]) // int(factor)):
                raise UnprovedError(f"it resizes by {factor}, of which float32 rounds the places")

    def move(values: NDArray[Any]) -> NDArray[Any]:
        for axis, factor in zip(axes, factors, strict=True):
            if values.shape[axis] > 1:
                values = np.repeat(values, int(factor), axis=axis)
        return values

    return _judged(x.moved(tuple(shape), move), x)


def gather(x: Value, indices: Ints, axis: int) -> Judged:
    """Chosen places of a dimension."""
    axis %= len(x.shape)
    if indices.ndim != 1 or not indices.size or indices.min() < 0 or indices.max() >= x.shape[axis]:
        raise UnprovedError(f"its indices do not fit {x.shape}")

    def move(values: NDArray[Any]) -> NDArray[Any]:
        return np.take(values, indices, axis=axis) if values.shape[axis] > 1 else values

    shape = (*x.shape[:axis], len(indices), *x.shape[axis + 1 :])
    return _judged(x.moved(shape, move), x)


def depth_to_space(x: Value, factor: int, axis: int, neighbours: bool) -> Judged:
    """`factor^2` channels become blocks of pixels: a reshape, a transpose and a reshape."""
    if len(x.shape) != 4 or factor < 1 or x.shape[axis] % factor**2:
        raise UnprovedError(f"blocks of {factor}x{factor} do not fit {x.shape}")
    channels = x.shape[axis] // factor**2
    split = (channels, factor, factor) if neighbours else (factor, factor, channels)
    block, channel = ((1, 2), 0) if neighbours else ((0, 1), 2)
    rows, columns = (2, 3) if axis == 1 else (1, 2)
    # Behind the split, dimensions in front of the channels keep their place and those behind move by two.
    place = {d: d if d < axis else d + 2 for d in (rows, columns)}
    order = [place[rows], axis + block[0], place[columns], axis + block[1]]
    sizes = [x.shape[rows] * factor, x.shape[columns] * factor]
    order = [0, axis + channel, *order] if axis == 1 else [0, *order, axis + channel]
    sizes = [x.shape[0], channels, *sizes] if axis == 1 else [x.shape[0], *sizes, channels]
    judged = reshape(x, [*x.shape[:axis], *split, *x.shape[axis + 1 :]])
    for move, setting in ((transpose, order), (reshape, sizes)):
        assert isinstance(judged.value, Value)
        judged = move(judged.value, setting)
    return judged


def squeeze(x: Value, axes: Sequence[int], add: bool) -> Judged:
    """Removes or adds dimensions of 1."""
    sizes = list(x.shape)
    if add:
        for axis in sorted(axis % (len(sizes) + len(axes)) for axis in axes):
            sizes.insert(axis, 1)
    else:
        gone = {axis % len(sizes) for axis in axes}
        sizes = [size for i, size in enumerate(sizes) if i not in gone]
    return reshape(x, sizes)


def reverse(x: Value, axes: Sequence[int]) -> Judged:
    """Reverses dimensions."""

    def move(values: NDArray[Any]) -> NDArray[Any]:
        return np.flip(values, axis=tuple(axes))

    return _judged(x.moved(x.shape, move), x)


def concat(parts: Sequence[Value], axis: int) -> Judged:
    """Joins tensors along a dimension."""
    axis %= len(parts[0].shape)
    size = sum(part.shape[axis] for part in parts)

    def join(name: str) -> NDArray[Any]:
        arrays = [np.asarray(getattr(part, name)) for part in parts]
        others = np.broadcast_shapes(*((*a.shape[:axis], 1, *a.shape[axis + 1 :]) for a in arrays))
        return np.concatenate(
            [
                np.broadcast_to(a, (*others[:axis], part.shape[axis], *others[axis + 1 :]))
                for a, part in zip(arrays, parts, strict=True)
            ],
            axis=axis,
        )

    shape = (*parts[0].shape[:axis], size, *parts[0].shape[axis + 1 :])
    for part in parts:
        if part.floor is not None:
            raise UnprovedError("minus infinity arrives from a padding")
    value = Value(
        shape,
        join("low"),
        join("high"),
        join("grid"),
        nan=any(part.nan for part in parts),
        negative_zero=any(part.negative_zero for part in parts),
        signs=all(part.signs for part in parts),
        flushed=max(part.flushed for part in parts),
        octets=any(part.octets for part in parts),
    )
    return Judged(value, "moves values", _MOVED)


def pad(x: Value, pads: Sequence[Pair], value: float) -> Judged:
    """A border of a constant; minus infinity only in front of max-pooling."""
    if len(pads) != len(x.shape) or any(p < 0 for pair in pads for p in pair):
        raise UnprovedError(f"pads {list(pads)} on {x.shape}")
    if x.floor is not None:
        raise UnprovedError("minus infinity arrives from a padding")
    shape = tuple(size + sum(pair) for size, pair in zip(x.shape, pads, strict=True))
    if value == -math.inf:
        inside = tuple((before, before + size) for size, (before, _) in zip(x.shape, pads, strict=True))
        surrounded = x.moved(shape, lambda values: values)
        if any(
            values.shape[i] > 1 for values in (x.low, x.high, x.grid) for i, p in enumerate(pads) if any(p)
        ):
            surrounded = _collapsed(surrounded, tuple(i for i, p in enumerate(pads) if any(p)))
        return Judged(replace(surrounded, floor=inside), "moves values", _MOVED)
    constant = of_constant(np.array(value, dtype=np.float32), len(shape))
    low = _bordered(x.low, x.shape, pads, constant.low, np.minimum)
    high = _bordered(x.high, x.shape, pads, constant.high, np.maximum)
    grid: Ints = _bordered(x.grid, x.shape, pads, constant.grid, np.maximum)
    result = replace(
        x.moved(shape, lambda values: values),
        low=low,
        high=high,
        grid=grid,
        negative_zero=x.negative_zero or constant.negative_zero,
        signs=x.signs and abs(value) == 1,
    )
    return Judged(result, "moves values", _MOVED)


def _bordered(
    values: NDArray[Any], shape: Shape, pads: Sequence[Pair], constant: NDArray[Any], choose: Any
) -> NDArray[Any]:
    """Pads dimensions whose values are known one by one; elsewhere the constant is one more possible value."""
    single = [size > 1 and known == size for size, known in zip(shape, values.shape, strict=True)]
    widths = [pair if one else (0, 0) for pair, one in zip(pads, single, strict=True)]
    result = np.pad(values, widths, constant_values=constant.reshape(-1)[0])
    if any(any(pair) and not one for pair, one in zip(pads, single, strict=True)):
        result = choose(result, constant)
    return np.asarray(result)


def _collapsed(x: Value, axes: tuple[int, ...]) -> Value:
    return replace(
        x,
        low=x.low.min(axis=axes, keepdims=True),
        high=x.high.max(axis=axes, keepdims=True),
        grid=x.grid.max(axis=axes, keepdims=True),
    )


MOVERS: dict[str, Callable[..., Judged]] = {
    "identity": identity,
    "dequantize": identity,
    "pad": pad,
    "slice": take,
    "slice_axes": take_axes,
    "fill_channels": fill_channels,
    "squeeze": squeeze,
    "reverse": reverse,
    "reshape": reshape,
    "transpose": transpose,
    "gather": gather,
    "enlarge": enlarge,
    "depth_to_space": depth_to_space,
}
"""Transfer functions of steps with one operand, by kind; the step's attributes are their keyword arguments."""
