"""Rules for functions that move values: reshaping, slicing, padding, joining."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lower.conv_norm import as_image, as_sequence
from fdabnn_deploy.frontend.capture.lowering import Lowering, lowers
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH, Stack, Tensor, Value, refuse, scalar_of
from fdabnn_deploy.ir.expression import Expression
from fdabnn_deploy.ir.ops import Concat, Pad, Permute, Reshape, Slice

_MOST_SLICES = 64
"""Of one dimension that is permuted round."""


@lowers("view", "reshape", "flatten", "unsqueeze", "squeeze", "_unsafe_view", "unflatten")
def reshape(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """Anything that gives the values of each image another shape."""
    shape = tuple(int(d) for d in node.meta["val"].shape)
    if shape == x.shape:
        return x
    if x.rows:
        x = lowering.from_rows(x)
        return x if x.shape == shape else reshape(lowering, node, x)
    rows = shape[0] // CAPTURE_BATCH if len(shape) == 2 and not shape[0] % CAPTURE_BATCH else 0
    if rows > 1 and rows * shape[1] == math.prod(x.shape[1:]):
        tokens = (
            x if x.shape[1:] == (rows, shape[1]) else lowering.add(Reshape((rows, shape[1])), [x], "reshape")
        )
        return lowering.as_rows(tokens)
    if not shape or shape[0] != CAPTURE_BATCH or math.prod(shape[1:]) != math.prod(x.shape[1:]):
        raise refuse(node, _lost_batch(x.shape, shape), "reshape to (x.shape[0], ...), each image by itself")
    return lowering.add(Reshape(shape[1:]), [x], "reshape")


def _lost_batch(before: tuple[int, ...], after: tuple[int, ...]) -> str:
    """Why a reshape leaves no dimension of the batch, with its sizes for one image and N of them."""
    own = "x".join(map(str, before[1:]))
    rows = after[0] // CAPTURE_BATCH if after and not after[0] % CAPTURE_BATCH else 0
    if rows > 1 and rows * math.prod(after[1:]) == math.prod(before[1:]):
        return f"reshaping [N, {own}] joins the batch with what is behind it: each image becomes {rows} rows of {list(after)}"
    if not after:
        return f"reshaping [N, {own}] to a single number leaves no dimension for the batch"
    return f"reshaping [N, {own}] with N = {CAPTURE_BATCH} to {list(after)} puts values of several images together"


@lowers("expand", "expand_as", "broadcast_to", "repeat", "tile")
def expand(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Any:
    """Expansion of an activation: copies along its dimensions."""
    shape = tuple(int(d) for d in node.meta["val"].shape)
    if isinstance(x, Expression):
        return Expression("expand", (x, list(shape)), np.array(np.broadcast_to(x.value, shape)))
    if len(shape) == len(x.shape) and all(size % own == 0 for size, own in zip(shape, x.shape, strict=True)):
        return _copied(lowering, node, x, [size // own for size, own in zip(shape, x.shape, strict=True)])
    raise refuse(
        node,
        f"expanding an activation from {x.shape} to {shape} is not supported",
        "let the next operation broadcast it",
    )


@lowers("permute", "transpose", "t")
def permute(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """A transposition that leaves the batch first."""
    rank = len(x.shape)
    order = list(range(rank))
    if len(settings) == 1:
        order = [int(d) % rank for d in settings[0]]
    elif len(settings) == 2:
        a, b = (int(d) % rank for d in settings)
        order[a], order[b] = order[b], order[a]
    else:
        order = order[::-1]
    if order[0] != 0:
        raise refuse(
            node,
            f"transposing the batch dimension ({order}) is not supported",
            "keep dimension 0 for the batch",
        )
    permuted = lowering.add(Permute(tuple(order[1:])), [x], "permute")
    if x.name in lowering.unfolded and order == [0, 2, 1]:
        lowering.unfolded_rows[permuted.name] = lowering.unfolded[x.name]
    return permuted


def _slice(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, dim: int, begin: int, end: int, step: int
) -> Tensor:
    rank = len(x.shape)
    dim %= rank
    size = x.shape[dim]
    begin, end, step = slice(begin, end, step).indices(size)
    if (begin, end, step) == (0, size, 1):
        return x
    if dim == 0:
        raise refuse(node, "slicing the batch is not supported", "slice channels, rows or columns")
    ranges = tuple((begin, end, step) if d == dim else (0, x.shape[d], 1) for d in range(1, rank))
    return lowering.add(Slice(ranges), [x], "slice")


def cut(lowering: Lowering, node: torch.fx.Node, x: Tensor, dim: int, begin: int, end: int) -> Tensor:
    """A range of one dimension."""
    return _slice(lowering, node, x, dim, begin, end, 1)


@lowers("slice")
def slice_(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Tensor,
    dim: int = 0,
    begin: Any = None,
    end: Any = None,
    step: int = 1,
) -> Tensor:
    """`x[..., begin:end:step, ...]` of one dimension."""
    return _slice(lowering, node, x, dim, begin, end, step)


@lowers("narrow")
def narrow(lowering: Lowering, node: torch.fx.Node, x: Tensor, dim: int, begin: int, length: int) -> Tensor:
    """`x.narrow(dim, begin, length)`."""
    return _slice(lowering, node, x, dim, begin, begin + length, 1)


@lowers("split", "split_with_sizes", "chunk")
def split(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> list[Tensor]:
    """Cuts a tensor into pieces, whose sizes PyTorch has computed."""
    dim = int(settings[1]) if len(settings) > 1 else 0
    pieces, begin = [], 0
    for piece in node.meta["val"]:
        length = int(piece.shape[dim])
        pieces.append(_slice(lowering, node, x, dim, begin, begin + length, 1))
        begin += length
    return pieces


@lowers("pad", "constant_pad_nd")
def pad(lowering: Lowering, node: torch.fx.Node, x: Tensor, amounts: Any, *settings: Any) -> Tensor:
    """Constant padding; negative amounts crop."""
    mode = settings[0] if settings and isinstance(settings[0], str) else "constant"
    numbers = [s for s in settings if not isinstance(s, str)]
    fill = scalar_of(numbers[-1]) if numbers and numbers[-1] is not None else 0.0
    if mode != "constant" or fill is None:
        raise refuse(node, f"padding mode '{mode}' is not supported", "pad with a constant")
    rank = len(x.shape)
    pads = [(0, 0)] * rank
    for i in range(len(amounts) // 2):
        pads[rank - 1 - i] = (int(amounts[2 * i]), int(amounts[2 * i + 1]))
    if pads[0] != (0, 0):
        raise refuse(node, "padding the batch is not supported", "pad channels, rows or columns")
    for dim, (before, after) in enumerate(pads):
        if min(before, after) < 0:
            x = _slice(lowering, node, x, dim, max(-before, 0), x.shape[dim] - max(-after, 0), 1)
    positive = tuple((max(before, 0), max(after, 0)) for before, after in pads[1:])
    if all(p == (0, 0) for p in positive):
        return x
    if rank == 3 and positive[0] == (0, 0):
        # As an image of one row, as its convolution reads it.
        padded = Pad(((0, 0), (0, 0), positive[1]), fill)
        return as_sequence(lowering, lowering.add(padded, [as_image(lowering, x)], "pad"))
    return lowering.add(Pad(positive, fill), [x], "pad")


@lowers("cat", "concat", "concatenate")
def concat(lowering: Lowering, node: torch.fx.Node, parts: list[Value], dim: int = 0) -> Tensor:
    """Joins channels; constant parts that hold one number become padding."""
    rank = next(len(p.shape) for p in parts if isinstance(p, Tensor))
    axis = dim % rank
    if axis == 0 or (axis != 1 and any(isinstance(p, Expression) for p in parts)):
        raise refuse(
            node,
            f"joining along dimension {dim} is not supported",
            "join channels (dimension 1), or tensors along another dimension than the batch",
        )
    if axis != 1:
        swap = _swap(rank, axis)
        swapped = [lowering.add(swap, [part], "permute") for part in parts]
        return lowering.add(swap, [lowering.add(Concat(), swapped, "concat")], "permute")
    tensors = [p for p in parts if isinstance(p, Tensor)]
    first, last = parts.index(tensors[0]), len(parts) - 1 - parts[::-1].index(tensors[-1])
    if any(isinstance(p, Expression) for p in parts[first : last + 1]):
        raise refuse(
            node, "joining with a constant in the middle is not supported", "put the constants first or last"
        )
    joined = lowering.add(Concat(), tensors, "concat") if len(tensors) > 1 else tensors[0]
    before = _filling(node, [p for p in parts[:first] if isinstance(p, Expression)])
    after = _filling(node, [p for p in parts[last + 1 :] if isinstance(p, Expression)])
    paddings = [((before[0], 0), before[1]), ((0, after[0]), after[1])]
    if before[1] == after[1] or not before[0] or not after[0]:
        paddings = [((before[0], after[0]), before[1] if before[0] else after[1])]
    for channels, fill in paddings:
        if channels != (0, 0):
            joined = lowering.add(Pad((channels, *[(0, 0)] * (rank - 2)), fill), [joined], "pad")
    return joined


def _filling(node: torch.fx.Node, constants: list[Expression]) -> tuple[int, float]:
    """How many channels constant parts have, and the one number in them."""
    numbers = {scalar_of(p) for p in constants} or {0.0}
    fill = numbers.pop()
    if fill is None or numbers:
        raise refuse(
            node, "joining with a constant that varies is not supported", "pad with one number per side"
        )
    return sum(p.value.shape[1] for p in constants), fill


@lowers("select")
def select(lowering: Lowering, node: torch.fx.Node, x: Tensor, dim: int, index: int) -> Tensor:
    """One index of one dimension, which disappears."""
    rank = len(x.shape)
    dim %= rank
    if dim == 0:
        raise refuse(node, "selecting one image of a batch is not supported", "work on the whole batch")
    index %= x.shape[dim]
    piece = _slice(lowering, node, x, dim, index, index + 1, 1)
    shape = tuple(d for axis, d in enumerate(piece.shape) if axis not in (0, dim))
    return lowering.add(Reshape(shape), [piece], "reshape")


@lowers("unbind")
def unbind(lowering: Lowering, node: torch.fx.Node, x: Tensor, dim: int = 0) -> list[Tensor]:
    """Every index of one dimension."""
    return [select(lowering, node, x, dim, index) for index in range(x.shape[dim])]


@lowers("stack")
def stack(lowering: Lowering, node: torch.fx.Node, parts: list[Value], dim: int = 0) -> Tensor | Stack:
    """Tensors of one shape along a new dimension."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    rank = len(tensors[0].shape) + 1
    dim %= rank
    if len(tensors) < len(parts):
        raise refuse(node, "stacking with a constant is not supported", "add the constant instead")
    if dim == 0:
        return Stack(tuple(tensors))
    rows = [lowering.add(Reshape((1, *part.shape[1:])), [part], "reshape") for part in tensors]
    joined = lowering.add(Concat(), rows, "concat") if len(rows) > 1 else rows[0]
    if dim > 1:
        joined = lowering.add(Permute((*range(2, dim + 1), 1, *range(dim + 1, rank))), [joined], "permute")
    lowering.stacked[joined.name] = (tensors, dim)
    return joined


@lowers("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(lowering: Lowering, node: torch.fx.Node, x: Tensor, groups: int) -> Tensor:
    """Channels (g, C / g) become (C / g, g)."""
    channels, *size = x.shape[1:]
    grouped = lowering.add(Reshape((groups, channels // groups, math.prod(size))), [x], "reshape")
    permuted = lowering.add(Permute((2, 1, 3)), [grouped], "permute")
    return lowering.add(Reshape((channels, *size)), [permuted], "reshape")


@lowers("pixel_unshuffle")
def pixel_unshuffle(lowering: Lowering, node: torch.fx.Node, x: Tensor, factor: int) -> Tensor:
    """Blocks of pixels become `factor^2` channels."""
    if len(x.shape) != 4:
        raise refuse(
            node, f"PixelUnshuffle of {len(x.shape)} dimensions is not supported", "give it [N, C, H, W]"
        )
    channels, height, width = x.shape[1:]
    rows, columns = height // factor, width // factor
    blocks = lowering.add(Reshape((channels, rows, factor, columns, factor)), [x], "reshape")
    permuted = lowering.add(Permute((1, 3, 5, 2, 4)), [blocks], "permute")
    return lowering.add(Reshape((channels * factor**2, rows, columns)), [permuted], "reshape")


@lowers("flip")
def flip(lowering: Lowering, node: torch.fx.Node, x: Tensor, dims: list[int]) -> Tensor:
    """The order of dimensions permuted round, slice by slice."""
    for dim in sorted(d % len(x.shape) for d in dims):
        size = x.shape[dim]
        if dim == 0 or size > _MOST_SLICES:
            raise refuse(
                node,
                f"flipping dimension {dim} of {['N', *x.shape[1:]]} is not supported",
                f"flip dimensions of up to {_MOST_SLICES}, or swap the input round outside of the model",
            )
        x = _rearranged(lowering, node, x, dim, [(index, index + 1) for index in reversed(range(size))])
    return x


@lowers("fliplr")
def fliplr(lowering: Lowering, node: torch.fx.Node, x: Tensor) -> Tensor:
    """The order of the channels, whatever PyTorch calls them."""
    flipped: Tensor = flip(lowering, node, x, [1])
    return flipped


@lowers("roll")
def roll(lowering: Lowering, node: torch.fx.Node, x: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """Dimensions moved round in a circle."""
    if not dims:
        raise refuse(node, "roll without dims moves values from image to image", "give it dims")
    for shift, dim in zip(shifts, dims, strict=True):
        axis = dim % len(x.shape)
        size = x.shape[axis]
        begin = -int(shift) % size
        if axis == 0 and begin:
            raise refuse(node, "rolling the batch is not supported", "keep dimension 0 for the batch")
        x = _rearranged(lowering, node, x, axis, [(begin, size), (0, begin)]) if begin else x
    return x


def _rearranged(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, dim: int, ranges: list[tuple[int, int]]
) -> Tensor:
    """Pieces of one dimension in another order."""
    swap = _swap(len(x.shape), dim)
    if dim != 1:
        x = lowering.add(swap, [x], "permute")
    pieces = [_slice(lowering, node, x, 1, begin, end, 1) for begin, end in ranges]
    joined = lowering.add(Concat(), pieces, "concat") if len(pieces) > 1 else pieces[0]
    return joined if dim == 1 else lowering.add(swap, [joined], "permute")


def _swap(rank: int, dim: int) -> Permute:
    """Exchanges a dimension with the channels."""
    order = list(range(rank))
    order[1], order[dim] = order[dim], order[1]
    return Permute(tuple(order[1:]))


@lowers("movedim", "moveaxis", "swapaxes", "swapdims", "mT", "adjoint")
def rearrange(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """Other names for a transposition: PyTorch itself says where the dimensions go."""
    assert callable(node.target)
    # Sizes that are all different, each that of a dimension.
    moved = node.target(torch.empty([2 + dim for dim in range(len(x.shape))], device="meta"), *settings)
    permuted: Tensor = permute(lowering, node, x, [int(size) - 2 for size in moved.shape])
    return permuted


@lowers("index", "index_select")
def index(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """Slices of one dimension in a constant order, such as `x[:, [2, 0, 1]]`."""
    if len(settings) == 2:
        dim, picked = int(settings[0]) % len(x.shape), settings[1]
    else:
        given = [(axis, item) for axis, item in enumerate(settings[0]) if item is not None]
        dim, picked = given[0] if len(given) == 1 else (0, None)
    if (
        not isinstance(picked, Expression)
        or dim == 0
        or picked.value.ndim != 1
        or picked.value.dtype.kind not in "iu"
    ):
        raise refuse(
            node,
            "indexing with anything but a constant list is not supported",
            "index one dimension with a list",
        )
    places = [int(place) % x.shape[dim] for place in picked.value]
    ranges: list[tuple[int, int]] = []
    for place in places:
        if ranges and ranges[-1][1] == place:
            ranges[-1] = (ranges[-1][0], place + 1)
        else:
            ranges.append((place, place + 1))
    if len(ranges) > _MOST_SLICES:
        raise refuse(node, f"picking {len(ranges)} slices is not supported", f"pick up to {_MOST_SLICES}")
    return _rearranged(lowering, node, x, dim, ranges)


def _copied(lowering: Lowering, node: torch.fx.Node, x: Tensor, copies: list[int]) -> Tensor:
    """A tensor repeated along its dimensions.

    Raises:
        ModelRefusedError: along the batch, or too often.
    """
    if copies[0] != 1 or max(copies) > _MOST_SLICES:
        raise refuse(
            node,
            f"repeating an activation {['N', *x.shape[1:]]} {copies} times is not supported",
            f"let the next operation broadcast it, or repeat up to {_MOST_SLICES} times",
        )
    for dim, count in enumerate(copies):
        if count > 1:
            x = _rearranged(lowering, node, x, dim, [(0, x.shape[dim])] * count)
    return x
