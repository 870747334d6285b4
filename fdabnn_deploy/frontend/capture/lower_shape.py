"""Rules for functions that move values: reshaping, slicing, padding, joining."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lowering import Lowering, lowers
from fdabnn_deploy.frontend.capture.traced_value import CAPTURE_BATCH, Tensor, Value, refuse, scalar_of
from fdabnn_deploy.ir.expression import Expression
from fdabnn_deploy.ir.ops import Concat, DepthToSpace, Pad, Permute, Reshape, Slice, UpsampleNearest


@lowers("view", "reshape", "flatten", "unsqueeze", "squeeze", "_unsafe_view", "unflatten")
def reshape(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """Anything that gives the values of each image another shape."""
    shape = tuple(int(d) for d in node.meta["val"].shape)
    if shape == x.shape:
        return x
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
    """Expansion of an activation to its own shape."""
    shape = tuple(int(d) for d in node.meta["val"].shape)
    if isinstance(x, Expression):
        return Expression("expand", (x, list(shape)), np.array(np.broadcast_to(x.value, shape)))
    if shape != x.shape:
        raise refuse(
            node,
            f"expanding an activation from {x.shape} to {shape} is not supported",
            "let the next operation broadcast it",
        )
    return x


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
    return lowering.add(Permute(tuple(order[1:])), [x], "permute")


@lowers("pixel_shuffle")
def pixel_shuffle(lowering: Lowering, node: torch.fx.Node, x: Tensor, factor: int) -> Tensor:
    """`factor^2` channels become blocks of pixels."""
    if len(x.shape) != 4:
        raise refuse(
            node, f"PixelShuffle of {len(x.shape)} dimensions is not supported", "give it [N, C, H, W]"
        )
    return lowering.add(DepthToSpace(factor), [x], "pixel_shuffle")


@lowers("upsample_nearest2d", "_upsample_nearest_exact2d")
def upsample_nearest(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """Nearest neighbours, a whole number of times as many in height and width: there both functions take the same ones."""
    height, width = (int(size) for size in node.meta["val"].shape[2:])
    if height % x.shape[2] or width % x.shape[3]:
        raise refuse(
            node,
            f"upsampling {x.shape[2]}x{x.shape[3]} to {height}x{width} is not supported",
            "make height and width a whole number of times as large",
        )
    return lowering.add(UpsampleNearest((height // x.shape[2], width // x.shape[3])), [x], "upsample")


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
    return lowering.add(Pad(positive, fill), [x], "pad")


@lowers("cat", "concat", "concatenate")
def concat(lowering: Lowering, node: torch.fx.Node, parts: list[Value], dim: int = 0) -> Tensor:
    """Joins channels; constant parts that hold one number become padding."""
    rank = next(len(p.shape) for p in parts if isinstance(p, Tensor))
    if dim % rank != 1:
        raise refuse(
            node,
            f"joining along dimension {dim} is not supported",
            "only channels (dimension 1) can be joined",
        )
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
