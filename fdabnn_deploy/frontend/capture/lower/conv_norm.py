"""Rules for layers: convolution, batch norm, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.lowering import Lowering, constant_of, lowers
from fdabnn_deploy.frontend.capture.traced_value import Tensor, Value, pair, refuse
from fdabnn_deploy.frontend.lint.remedies import remedy_for
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray, FloatArray
from fdabnn_deploy.ir.evaluation import release
from fdabnn_deploy.ir.expression import Expression


def bias_of(node: torch.fx.Node, bias: Any) -> FloatArray | None:
    """The bias of a layer, if it has one."""
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
    if expression.value.ndim == 3:
        flat: Tensor = conv1d(lowering, node, x, expression, bias, stride, padding, dilation, groups)
        return flat
    if expression.value.ndim != 4:
        raise refuse(node, "only 1-D and 2-D convolutions are supported", remedy_for("conv3d"))
    return _convolution(
        lowering, node, x, expression, bias, pair(stride), padding, pair(dilation), int(groups)
    )


@lowers("conv1d")
def conv1d(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Value,
    weight: Value,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """`aten.conv1d`: the convolution of an image of one row."""
    expression = constant_of(node, weight, "convolution weight")
    out, channels, taps = expression.value.shape
    kernel = Expression(
        "reshape", (expression, [out, channels, 1, taps]), expression.value.reshape(out, channels, 1, taps)
    )
    steps, spread = (1, pair(stride)[-1]), (1, pair(dilation)[-1])
    around = padding if isinstance(padding, str) else (0, pair(padding)[-1])
    image = as_image(lowering, x)
    y = _convolution(lowering, node, image, kernel, bias, steps, around, spread, int(groups))
    return as_sequence(lowering, y)


def as_image(lowering: Lowering, x: Value) -> Tensor:
    """A sequence [N, C, L] as an image of one row."""
    if isinstance(x, Tensor) and x.name in lowering.images:
        return lowering.images[x.name]
    channels, length = x.shape[-2:] if isinstance(x, Tensor) else x.value.shape[-2:]
    return lowering.add(ops.Reshape((channels, 1, length)), [x], "reshape")


def as_sequence(lowering: Lowering, x: Tensor) -> Tensor:
    """The row of an image as a sequence."""
    sequence = lowering.add(ops.Reshape((x.shape[1], x.shape[3])), [x], "reshape")
    lowering.images[sequence.name] = x
    return sequence


def _convolution(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Value,
    weight: Expression,
    bias: Any,
    stride: tuple[int, int],
    padding: Any,
    dilation: tuple[int, int],
    groups: int,
) -> Tensor:
    kernel = weight.value.shape[2:]
    if isinstance(padding, str):
        total = [dilation[a] * (kernel[a] - 1) if padding == "same" else 0 for a in (0, 1)]
        if any(t % 2 for t in total):
            # PyTorch pads the odd one behind.
            amounts = tuple((t // 2, t - t // 2) for t in total)
            x, total = lowering.add(ops.Pad(((0, 0), *amounts)), [x], "pad"), [0, 0]
        padding = [t // 2 for t in total]
    op = ops.TrainedConv2d(release(weight), bias_of(node, bias), stride, pair(padding), dilation, groups)
    return lowering.add(op, [x], "conv")


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
