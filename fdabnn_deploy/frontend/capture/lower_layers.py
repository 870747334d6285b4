"""Rules for layers: convolution, dense, batch norm, pooling, softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lowering import Lowering, constant_of, lowers
from fdabnn_deploy.frontend.capture.traced_value import Tensor, Value, pair, refuse
from fdabnn_deploy.frontend.lint.remedies import remedy_for
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray, FloatArray
from fdabnn_deploy.ir.evaluation import release
from fdabnn_deploy.ir.expression import Expression, literal


def _bias(node: torch.fx.Node, bias: Any) -> FloatArray | None:
    return None if bias is None else constant_of(node, bias, "bias").value.astype(np.float32)


@lowers("conv2d", "convolution")
def conv2d(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Value,
    weight: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
    *more: Any,
) -> Tensor:
    """`aten.conv2d` with padding given as numbers or as "same" or "valid"; `aten.convolution` when it is not transposed."""
    if isinstance(groups, bool):  # aten.convolution: (..., dilation, transposed, output_padding, groups)
        if groups:
            raise refuse(node, "transposed convolution is not supported", "use a convolution")
        groups = more[-1]
    expression = constant_of(node, weight, "convolution weight")
    if expression.value.ndim != 4:
        raise refuse(
            node, "only 2-D convolutions are supported", "write a 1-D convolution as a 1 x K convolution"
        )
    kernel = expression.value.shape[2:]
    steps = pair(dilation)
    if isinstance(padding, str):
        total = [steps[a] * (kernel[a] - 1) if padding == "same" else 0 for a in (0, 1)]
        if any(t % 2 for t in total):
            raise refuse(
                node, "padding='same' with an even kernel pads unevenly", "pad explicitly with F.pad"
            )
        padding = [t // 2 for t in total]
    op = ops.TrainedConv2d(
        release(expression), _bias(node, bias), pair(stride), pair(padding), steps, int(groups)
    )
    return lowering.add(op, [x], "conv")


@lowers("linear")
def linear(lowering: Lowering, node: torch.fx.Node, x: Value, weight: Value, bias: Any = None) -> Tensor:
    """`aten.linear`: x [N, ..., C], weight [O, C]."""
    return _dense(lowering, node, x, constant_of(node, weight, "dense weight"), bias)


@lowers("mm", "matmul")
def matmul(lowering: Lowering, node: torch.fx.Node, x: Value, weight: Value) -> Tensor:
    """`x @ w` with a constant w [C, O]."""
    return _dense(lowering, node, x, _transposed(node, weight), None)


@lowers("addmm")
def addmm(lowering: Lowering, node: torch.fx.Node, bias: Value, x: Value, weight: Value) -> Tensor:
    """`bias + x @ w` with constant bias [O] and w [C, O]."""
    return _dense(lowering, node, x, _transposed(node, weight), bias)


def _transposed(node: torch.fx.Node, weight: Value) -> Expression:
    if isinstance(weight, Tensor):
        raise refuse(
            node,
            "operator 'matmul' multiplies two tensors that depend on the input",
            remedy_for("matmul"),
        )
    expression = constant_of(node, weight, "second factor of the matrix product")
    if expression.value.ndim != 2:
        raise refuse(
            node,
            f"a matrix product with a constant {list(expression.value.shape)} is not supported",
            "the constant has to be a matrix [C, O], as that of a dense layer is",
        )
    return Expression("t", (expression,), np.ascontiguousarray(expression.value.T))


def _dense(lowering: Lowering, node: torch.fx.Node, x: Value, weight: Expression, bias: Any) -> Tensor:
    """A dense layer. On tokens [N, ..., C] it is a 1x1 convolution of an image C x tokens x 1."""
    if not isinstance(x, Tensor):
        raise refuse(node, "a constant times a weight that depends on the input", remedy_for("matmul"))
    if weight.value.ndim != 2:
        raise refuse(
            node, f"a dense layer with a weight {list(weight.value.shape)}", "give it a matrix [O, C]"
        )
    if len(x.shape) == 2:
        return lowering.add(ops.TrainedLinear(release(weight), _bias(node, bias)), [x], "linear")
    if len(x.shape) < 2:
        raise refuse(node, f"a dense layer on a tensor {list(x.shape)} is not supported", "keep [N, ..., C]")
    out, channels = weight.value.shape
    *positions, _ = x.shape[1:]
    tokens = math.prod(positions)
    kernel = Expression("reshape", (weight, [out, channels, 1, 1]), weight.value.reshape(out, channels, 1, 1))
    if len(positions) > 1:
        x = lowering.add(ops.Reshape((tokens, channels)), [x], "reshape")
    x = lowering.add(ops.Permute((2, 1)), [x], "permute")
    x = lowering.add(ops.Reshape((channels, tokens, 1)), [x], "reshape")
    x = lowering.add(
        ops.TrainedConv2d(release(kernel), _bias(node, bias), (1, 1), (0, 0), (1, 1), 1), [x], "conv"
    )
    x = lowering.add(ops.Reshape((out, tokens)), [x], "reshape")
    x = lowering.add(ops.Permute((2, 1)), [x], "permute")
    return lowering.add(ops.Reshape((*positions, out)), [x], "reshape") if len(positions) > 1 else x


@lowers("batch_norm", "_native_batch_norm_legit_no_training")
def batch_norm(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Tensor,
    gamma: Any,
    beta: Any,
    mean: Any,
    var: Any,
    *settings: Any,
) -> Any:
    """Eval-mode batch norm; eps is the last float of the settings."""
    if mean is None or var is None or (isinstance(settings[0], bool) and settings[0]):
        raise refuse(
            node,
            "batch norm uses the statistics of the batch",
            "train it with track_running_stats=True and call model.eval()",
        )
    eps = float(settings[2] if isinstance(settings[0], bool) else settings[1])
    channels = x.shape[1]

    def vector(item: Any, default: float, what: str) -> DoubleArray:
        return (
            np.full(channels, default)
            if item is None
            else constant_of(node, item, what).value.astype(np.float64)
        )

    op = ops.BatchNorm(
        vector(mean, 0, "mean"),
        vector(var, 1, "variance"),
        vector(gamma, 1, "gamma"),
        vector(beta, 0, "beta"),
        eps,
    )
    result = lowering.add(op, [x], "bn")
    return [result] if "native" in str(node.target) else result


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
    pads = pair(padding)
    if size == x.shape[2:] and pads == (0, 0):
        pooled = lowering.add(ops.GlobalAvgPool(keepdims=True), [x], "mean")
        return _times(lowering, pooled, math.prod(size) / divisor) if divisor else pooled
    out = tuple(int(d) for d in node.meta["val"].shape[2:])
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
        return _times(lowering, pooled, math.prod(size) / divisor)
    taps = [
        _taps(x.shape[2 + a], out[a], size[a], steps[a], pads[a], bool(count_include_pad)) for a in (0, 1)
    ]
    counted = taps[0][:, None] * taps[1][None, :]
    return (
        _times(lowering, pooled, math.prod(size) / counted) if np.any(counted != math.prod(size)) else pooled
    )


def _taps(size: int, out: int, kernel: int, stride: int, padding: int, padded: bool) -> DoubleArray:
    """How many taps of each window of an average count: those inside the image, or inside the image and its padding."""
    begin = np.arange(out) * stride - padding
    low, high = (-padding, size + padding) if padded else (0, size)
    taps: DoubleArray = (np.minimum(begin + kernel, high) - np.maximum(begin, low)).astype(np.float64)
    return taps


def _times(lowering: Lowering, x: Tensor, factor: Any) -> Tensor:
    """A tensor times a number, or one per row and column."""
    return lowering.add(ops.Mul(), [x, literal(np.asarray(factor, np.float32))], "scaled")


@lowers("adaptive_avg_pool2d")
def adaptive_avg_pool2d(lowering: Lowering, node: torch.fx.Node, x: Tensor, output: Any) -> Tensor:
    """Adaptive pooling whose windows are all alike."""
    wanted = tuple(
        x.shape[2 + a] if s is None else int(s)
        for a, s in enumerate([*output] if not isinstance(output, int) else [output] * 2)
    )
    if wanted == x.shape[2:]:
        return x
    if wanted == (1, 1):
        return lowering.add(ops.GlobalAvgPool(keepdims=True), [x], "mean")
    if any(x.shape[2 + a] % wanted[a] for a in (0, 1)):
        raise refuse(
            node,
            f"adaptive pooling from {x.shape[2:]} to {wanted} has uneven windows",
            "choose a size that divides the image",
        )
    size = (x.shape[2] // wanted[0], x.shape[3] // wanted[1])
    return lowering.add(ops.AvgPool2d(size, size), [x], "avgpool")


@lowers("mean")
def mean(
    lowering: Lowering, node: torch.fx.Node, x: Tensor, dims: Any = None, keepdim: bool = False
) -> Tensor:
    """Mean over dimensions of each image: a global pool of an image whose rows are the values that are averaged."""
    rank = len(x.shape)
    listed = [dims] if isinstance(dims, int) else list(dims) if dims else list(range(rank))
    axes = sorted(d % rank for d in listed)
    if 0 in axes:
        raise refuse(
            node,
            f"mean over dimensions {listed} averages the images of a batch",
            "keep dimension 0 for the batch",
        )
    if rank == 4 and axes == [2, 3]:
        return lowering.add(ops.GlobalAvgPool(bool(keepdim)), [x], "mean")
    kept = [d for d in range(1, rank) if d not in axes]
    if kept + axes != list(range(1, rank)):
        x = lowering.add(ops.Permute((*kept, *axes)), [x], "permute")
    sizes = x.shape[1:]
    channels, averaged = math.prod(sizes[: len(kept)]), math.prod(sizes[len(kept) :])
    image = lowering.add(ops.Reshape((channels, averaged, 1)), [x], "reshape")
    pooled = lowering.add(ops.GlobalAvgPool(keepdims=False), [image], "mean")
    shape = tuple(int(d) for d in node.meta["val"].shape[1:])
    return pooled if shape == (channels,) else lowering.add(ops.Reshape(shape), [pooled], "reshape")


@lowers("softmax", "_softmax")
def softmax(lowering: Lowering, node: torch.fx.Node, x: Tensor, dim: int, *_: Any) -> Tensor:
    """Softmax over the classes."""
    return _softmax(lowering, node, x, dim, log=False)


@lowers("log_softmax", "_log_softmax")
def log_softmax(lowering: Lowering, node: torch.fx.Node, x: Tensor, dim: int, *_: Any) -> Tensor:
    """Logarithm of the softmax over the classes."""
    return _softmax(lowering, node, x, dim, log=True)


def _softmax(lowering: Lowering, node: torch.fx.Node, x: Tensor, dim: int, log: bool) -> Tensor:
    if len(x.shape) != 2 or dim % 2 != 1:
        raise refuse(
            node,
            f"operator 'softmax' over dimension {dim} of {['N', *x.shape[1:]]} is not supported, only over the classes of [N, C]",
            "leave it out where it only ranks; in attention, replace the attention by a dense layer over the tokens",
        )
    return lowering.add(ops.Softmax(log), [x], "log_softmax" if log else "softmax")
