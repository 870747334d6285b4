"""Rules for pooling, of images and of sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lower.conv_norm import as_image, as_sequence
from fdabnn_deploy.frontend.capture.lowering import Lowering, lowers, times
from fdabnn_deploy.frontend.capture.traced_value import Tensor, Value, pair, refuse
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray


@lowers("max_pool2d", "max_pool2d_with_indices")
def max_pool2d(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Value,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    """`aten.max_pool2d`."""
    if pair(dilation) != (1, 1):
        raise refuse(node, "dilated max pooling is not supported", "use dilation 1")
    size = pair(kernel)
    result = lowering.add(
        ops.MaxPool2d(size, pair(stride) if stride else size, pair(padding), bool(ceil_mode)), [x], "maxpool"
    )
    return [result] if "indices" in str(node.target) else result


@lowers("max_pool1d", "max_pool1d_with_indices")
def max_pool1d(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Value,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Any:
    """`aten.max_pool1d`."""
    if pair(dilation)[-1] != 1:
        raise refuse(node, "dilated max pooling is not supported", "use dilation 1")
    size = (1, pair(kernel)[-1])
    steps = (1, pair(stride)[-1]) if stride else size
    op = ops.MaxPool2d(size, steps, (0, pair(padding)[-1]), bool(ceil_mode))
    result = as_sequence(lowering, lowering.add(op, [as_image(lowering, x)], "maxpool"))
    return [result] if "indices" in str(node.target) else result


@lowers("avg_pool2d")
def avg_pool2d(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor: Any = None,
) -> Tensor:
    """`aten.avg_pool2d`; a window over the whole image is a global pool."""
    size = pair(kernel)
    steps = pair(stride) if stride else size
    out = tuple(int(d) for d in node.meta["val"].shape[2:])
    return _average(lowering, x, size, steps, pair(padding), out, ceil_mode, count_include_pad, divisor)


@lowers("avg_pool1d")
def avg_pool1d(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """`aten.avg_pool1d`."""
    size = (1, pair(kernel)[-1])
    steps = (1, pair(stride)[-1]) if stride else size
    out = (1, int(node.meta["val"].shape[2]))
    around = (0, pair(padding)[-1])
    image = as_image(lowering, x)
    return as_sequence(
        lowering, _average(lowering, image, size, steps, around, out, ceil_mode, count_include_pad, None)
    )


def _average(
    lowering: Lowering,
    x: Tensor,
    size: tuple[int, int],
    steps: tuple[int, int],
    pads: tuple[int, int],
    out: tuple[int, ...],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: Any,
) -> Tensor:
    """Averages with one divisor for all windows, times a number by position where their numbers of taps differ."""
    if size == x.shape[2:] and pads == (0, 0):
        pooled = lowering.add(ops.GlobalAvgPool(keepdims=True), [x], "mean")
        return times(lowering, pooled, math.prod(size) / divisor) if divisor else pooled
    # With ceil_mode the last windows may reach beyond the padded image.
    beyond = [
        max((out[a] - 1) * steps[a] + size[a] - x.shape[2 + a] - 2 * pads[a], 0) if ceil_mode else 0
        for a in (0, 1)
    ]
    if any(beyond):
        around = tuple((pads[a], pads[a] + beyond[a]) for a in (0, 1))
        padded = lowering.add(ops.Pad(((0, 0), *around)), [x], "pad")
        pooled = lowering.add(ops.AvgPool2d(size, steps), [padded], "avgpool")
    else:
        pooled = lowering.add(ops.AvgPool2d(size, steps, pads), [x], "avgpool")
    if divisor:
        return times(lowering, pooled, math.prod(size) / divisor)
    taps = [
        _taps(x.shape[2 + a], out[a], size[a], steps[a], pads[a], bool(count_include_pad)) for a in (0, 1)
    ]
    counted = taps[0][:, None] * taps[1][None, :]
    return (
        times(lowering, pooled, math.prod(size) / counted) if np.any(counted != math.prod(size)) else pooled
    )


def _taps(size: int, out: int, kernel: int, stride: int, padding: int, padded: bool) -> DoubleArray:
    """How many taps of each window of an average count: those inside the image, or inside the image and its padding."""
    begin = np.arange(out) * stride - padding
    low, high = (-padding, size + padding) if padded else (0, size)
    taps: DoubleArray = (np.minimum(begin + kernel, high) - np.maximum(begin, low)).astype(np.float64)
    return taps


@lowers("adaptive_avg_pool2d")
def adaptive_avg_pool2d(lowering: Lowering, node: torch.fx.Node, x: Tensor, output: Any) -> Tensor:
    """Adaptive pooling whose windows are all alike."""
    size = _adaptive_window(node, x)
    if size == (1, 1):
        return x
    if size == x.shape[2:]:
        return lowering.add(ops.GlobalAvgPool(keepdims=True), [x], "mean")
    return lowering.add(ops.AvgPool2d(size, size), [x], "avgpool")


@lowers("adaptive_avg_pool1d")
def adaptive_avg_pool1d(lowering: Lowering, node: torch.fx.Node, x: Tensor, output: Any) -> Tensor:
    """The same of a sequence."""
    image = as_image(lowering, x)
    return as_sequence(lowering, adaptive_avg_pool2d(lowering, node, image, output))


@lowers("adaptive_max_pool2d")
def adaptive_max_pool2d(lowering: Lowering, node: torch.fx.Node, x: Tensor, output: Any) -> list[Tensor]:
    """Adaptive maximum whose windows are all alike."""
    size = _adaptive_window(node, x)
    return [x if size == (1, 1) else lowering.add(ops.MaxPool2d(size, size), [x], "maxpool")]


@lowers("adaptive_max_pool1d")
def adaptive_max_pool1d(lowering: Lowering, node: torch.fx.Node, x: Tensor, output: Any) -> list[Tensor]:
    """The same of a sequence."""
    (pooled,) = adaptive_max_pool2d(lowering, node, as_image(lowering, x), output)
    return [as_sequence(lowering, pooled)]


def _adaptive_window(node: torch.fx.Node, x: Tensor) -> tuple[int, int]:
    """The window of adaptive pooling on an image; of a sequence, the image has one row.

    Raises:
        ModelRefusedError: the windows overlap.
    """
    result = node.meta["val"]
    shape = (result[0] if isinstance(result, list | tuple) else result).shape
    wanted = (1, int(shape[2])) if len(shape) == 3 else (int(shape[2]), int(shape[3]))
    if any(x.shape[2 + a] % wanted[a] for a in (0, 1)):
        raise refuse(
            node,
            f"adaptive pooling from {x.shape[2:]} to {wanted} has uneven windows",
            "choose a size that divides the image",
        )
    return (x.shape[2] // wanted[0], x.shape[3] // wanted[1])
