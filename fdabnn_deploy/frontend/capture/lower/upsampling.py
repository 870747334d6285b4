"""Rules for functions that make images larger."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lower.conv_norm import as_image, as_sequence, bias_of
from fdabnn_deploy.frontend.capture.lower.shape import cut
from fdabnn_deploy.frontend.capture.lowering import Lowering, constant_of, lowers
from fdabnn_deploy.frontend.capture.traced_value import Tensor, Value, pair, refuse
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.evaluation import release
from fdabnn_deploy.ir.expression import Expression, literal


@lowers("pixel_shuffle")
def pixel_shuffle(lowering: Lowering, node: torch.fx.Node, x: Tensor, factor: int) -> Tensor:
    """`factor^2` channels become blocks of pixels."""
    if len(x.shape) != 4:
        raise refuse(
            node, f"PixelShuffle of {len(x.shape)} dimensions is not supported", "give it [N, C, H, W]"
        )
    return lowering.add(ops.DepthToSpace(factor), [x], "pixel_shuffle")


@lowers("upsample_nearest2d", "_upsample_nearest_exact2d")
def upsample_nearest(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """Nearest neighbours, a whole number of times as many in height and width: there both functions take the same ones."""
    height, width = (int(size) for size in node.meta["val"].shape[2:])
    if height % x.shape[2] or width % x.shape[3] or _fractional(node, x, (height, width), settings):
        raise refuse(
            node,
            f"upsampling {x.shape[2]}x{x.shape[3]} to {height}x{width}{_by(node, x, (height, width), settings)} is not supported",
            "make height and width a whole number of times as large",
        )
    return lowering.add(ops.UpsampleNearest((height // x.shape[2], width // x.shape[3])), [x], "upsample")


@lowers("upsample_nearest1d", "_upsample_nearest_exact1d")
def upsample_nearest1d(lowering: Lowering, node: torch.fx.Node, x: Tensor, *settings: Any) -> Tensor:
    """The same of a sequence."""
    length = int(node.meta["val"].shape[2])
    factor = length // x.shape[2]
    if length % x.shape[2] or any(scale != factor for scale in _given_scales(settings)):
        raise refuse(
            node,
            f"upsampling {x.shape[2]} to {length} is not supported",
            "make the sequence a whole number of times as long",
        )
    y = lowering.add(ops.UpsampleNearest((1, factor)), [as_image(lowering, x)], "upsample")
    return as_sequence(lowering, y)


@lowers("upsample_bilinear2d")
def upsample_bilinear(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, size: Any, align_corners: bool = False, *_: Any
) -> Tensor:
    """Linear interpolation, a whole number f of times as large: nearest neighbours, averaged over f of them.

    The windows are [1, ..., 1] / f for an odd f and [1/2, 1, ..., 1, 1/2] / f for an even one. At the border PyTorch repeats the outermost
    pixel, and the windows there hold no other: the sum of the taps inside, divided by their weights, is that pixel.
    """
    height, width = (int(d) for d in node.meta["val"].shape[2:])
    factors = (height // x.shape[2], width // x.shape[3])
    if align_corners or height % x.shape[2] or width % x.shape[3] or _fractional(node, x, (height, width), _):
        raise refuse(
            node,
            f"bilinear upsampling of {x.shape[2]}x{x.shape[3]} to {height}x{width}"
            + (" with align_corners=True" if align_corners else _by(node, x, (height, width), _))
            + " is not supported",
            "make height and width a whole number of times as large, with align_corners=False",
        )
    near = lowering.add(ops.UpsampleNearest(factors), [x], "upsample")
    windows = [_triangle(factor) for factor in factors]
    channels = x.shape[1]
    weight = np.broadcast_to(
        windows[0][:, None] * windows[1][None, :], (channels, 1, *map(len, windows))
    ).astype(np.float32)
    pads = (len(windows[0]) // 2, len(windows[1]) // 2)
    smooth = ops.TrainedConv2d(literal(np.ascontiguousarray(weight)), None, (1, 1), pads, (1, 1), channels)
    y = lowering.add(smooth, [near], "interpolated")
    rows, columns = (
        np.convolve(np.ones(size), window)[len(window) // 2 :][:size]
        for size, window in zip((height, width), windows, strict=True)
    )
    inside = (1 / (rows[:, None] * columns[None, :])).astype(np.float32)
    return lowering.add(ops.Mul(), [y, literal(inside)], "scaled")


def _fractional(node: torch.fx.Node, x: Tensor, size: tuple[int, int], settings: Any) -> bool:
    """Whether PyTorch maps places by a given scale that is not the whole number between the sizes."""
    factors = [size[axis] / x.shape[2 + axis] for axis in (0, 1)]
    return any(scale not in factors for scale in _given_scales(settings))


def _given_scales(settings: Any) -> list[float]:
    """The scales among the arguments of an upsampling, which are listed or not."""
    items = [one for item in settings for one in (item if isinstance(item, list | tuple) else [item])]
    return [one for one in items if isinstance(one, float)]


def _by(node: torch.fx.Node, x: Tensor, size: tuple[int, int], settings: Any) -> str:
    return " by a scale that is no whole number" if _fractional(node, x, size, settings) else ""


def _triangle(factor: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The window of a linear interpolation between neighbours `factor` apart, on repeated ones."""
    if factor % 2:
        return np.full(factor, 1 / factor)
    window = np.full(factor + 1, 1 / factor)
    window[[0, -1]] /= 2
    return window


@lowers("conv_transpose2d")
def conv_transpose2d(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Tensor,
    weight: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """A transposed convolution of strides s and t: a convolution to `s t` times as many channels, which become blocks of pixels.

    Along an axis the result at `s q + r` reads the inputs `q + a - m` with the taps `s m + b`, where `r + padding = s a + b`.
    """
    size = tuple(int(d) for d in node.meta["val"].shape[2:])
    expression = constant_of(node, weight, "convolution weight")
    return _transposed(
        lowering, node, x, expression, bias, pair(stride), pair(padding), size, groups, pair(dilation)
    )


@lowers("conv_transpose1d")
def conv_transpose1d(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Tensor,
    weight: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """The same of a sequence, an image of one row."""
    expression = constant_of(node, weight, "convolution weight")
    shape = (*expression.value.shape[:2], 1, expression.value.shape[2])
    row = Expression("reshape", (expression, list(shape)), expression.value.reshape(shape))
    size = (1, int(node.meta["val"].shape[2]))
    steps, pads, spread = (1, pair(stride)[-1]), (0, pair(padding)[-1]), (1, pair(dilation)[-1])
    image = as_image(lowering, x)
    return as_sequence(
        lowering, _transposed(lowering, node, image, row, bias, steps, pads, size, groups, spread)
    )


def _transposed(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Tensor,
    weight: Expression,
    bias: Any,
    steps: tuple[int, int],
    pads: tuple[int, int],
    size: tuple[int, ...],
    groups: int,
    dilation: tuple[int, int],
) -> Tensor:
    first, last, taps = _phases(weight.value.shape[2:], steps, pads, dilation)
    blocks = [-(-size[a] // steps[a]) for a in (0, 1)]
    around = tuple((-first[a], blocks[a] - 1 + last[a] - (x.shape[2 + a] - 1)) for a in (0, 1))
    for axis, (before, behind) in enumerate(around):
        x = cut(lowering, node, x, 2 + axis, max(-before, 0), x.shape[2 + axis] - max(-behind, 0))
    padded = tuple((max(before, 0), max(behind, 0)) for before, behind in around)
    if any(map(any, padded)):
        x = lowering.add(ops.Pad(((0, 0), *padded)), [x], "pad")
    vector = bias_of(node, bias)
    repeated = None if vector is None else np.repeat(vector, math.prod(steps))
    phases = release(_phase_weights(weight, steps, groups, taps))
    y = lowering.add(ops.TrainedConv2d(phases, repeated, (1, 1), (0, 0), (1, 1), groups), [x], "conv")
    y = _as_blocks(lowering, y, steps)
    for axis in (0, 1):
        y = cut(lowering, node, y, 2 + axis, 0, size[axis])
    return y


def _as_blocks(lowering: Lowering, x: Tensor, steps: tuple[int, int]) -> Tensor:
    """Channels [O, s, t] as blocks of s x t pixels."""
    s, t = steps
    if s == t:
        return lowering.add(ops.DepthToSpace(s), [x], "pixel_shuffle") if s > 1 else x
    channels, height, width = x.shape[1] // (s * t), *x.shape[2:]
    # [O, s, t, H, W] -> [O, H, s, W, t], without the dimensions that are 1.
    sizes, order = (channels, s, t, height, width), (0, 3, 1, 4, 2)
    wide = [place for place in range(5) if sizes[place] > 1 or place == 0]
    moved = [wide.index(place) + 1 for place in order if place in wide]
    x = lowering.add(ops.Reshape(tuple(sizes[place] for place in wide)), [x], "reshape")
    if moved != sorted(moved):
        x = lowering.add(ops.Permute(tuple(moved)), [x], "permute")
    return lowering.add(ops.Reshape((channels, height * s, width * t)), [x], "reshape")


_Taps = np.ndarray[Any, np.dtype[np.int64]]


def _phases(
    kernel: tuple[int, ...], strides: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> tuple[list[int], list[int], list[_Taps]]:
    """Per axis: the first and last input, relative to q, and for each phase r and input the tap, -1 where there is none."""
    first, last, taps = [], [], []
    for axis in (0, 1):
        stride = strides[axis]
        # The tap k lies at `dilation k`, which is r + padding less a multiple of the stride.
        read = {
            (r, (r + padding[axis] - dilation[axis] * tap) // stride): tap
            for r in range(stride)
            for tap in range(kernel[axis])
            if (r + padding[axis] - dilation[axis] * tap) % stride == 0
        }
        places = [place for _, place in read]
        first.append(min(places))
        last.append(max(places))
        found = np.full((stride, last[-1] - first[-1] + 1), -1)
        for (r, place), tap in read.items():
            found[r, place - first[-1]] = tap
        taps.append(found)
    return first, last, taps


def _phase_weights(weight: Expression, steps: tuple[int, int], groups: int, taps: list[_Taps]) -> Expression:
    """The weight [C, O / groups, kh, kw] as one of a convolution, [O s t, C / groups, rows, columns]."""
    channels, out, _, width = weight.value.shape
    rows, columns = taps[0][:, None, :, None], taps[1][None, :, None, :]
    # A tap that is not there is the zero behind all others.
    index = np.where((rows < 0) | (columns < 0), math.prod(weight.value.shape[2:]), rows * width + columns)
    flat = weight.value.reshape(groups, channels // groups, out, -1)
    # Groups, their inputs and outputs, the phases of both axes, rows and columns.
    taken = np.pad(flat, ((0, 0), (0, 0), (0, 0), (0, 1)))[..., index].transpose(0, 2, 3, 4, 1, 5, 6)
    value = np.ascontiguousarray(taken).reshape(-1, channels // groups, *index.shape[2:])
    return Expression("taps_by_phase", (weight,), value)
