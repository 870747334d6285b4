"""The same convolution in PyTorch, in float32 in its three layouts and as quint8 by qint8."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from bench.layers import Problem
from bench.measure import Contender
from fdabnn_deploy.measure.timer import looped


def contenders(problem: Problem) -> list[Contender]:
    """PyTorch in NCHW, NHWC, oneDNN's own layout with prepared weights, and quantized; one thread.

    PyTorch pads both sides alike: where TensorFlow does not, the padding is written out beforehand and not timed.
    """
    torch.set_num_threads(1)
    layer = problem.layer
    before, behind = layer.padding
    pad = before if before == behind else 0
    values = problem.signs if before == behind else problem.padded(0)
    x = torch.from_numpy(np.ascontiguousarray(values.transpose(0, 3, 1, 2)))
    w = torch.from_numpy(np.ascontiguousarray(problem.filters.transpose(0, 3, 1, 2)))
    scaled = w * torch.from_numpy(problem.multiplier)[:, None, None, None]
    b = torch.from_numpy(problem.bias)
    last = torch.channels_last
    found = [
        _real("PyTorch fp32 NCHW", problem, x, scaled, b, pad),
        _real("PyTorch fp32 NHWC", problem, x.to(memory_format=last), scaled.to(memory_format=last), b, pad),
    ]
    if torch.backends.mkldnn.is_available():
        found.append(_prepared(problem, x, scaled, b, pad))
    engine = next(
        (name for name in ("x86", "onednn") if name in torch.backends.quantized.supported_engines), None
    )
    if engine is not None:
        found.append(_quantized(problem, engine, x, w, pad))
    return found


def _real(
    name: str, problem: Problem, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, pad: int
) -> Contender:
    return _contender(name, problem, lambda: F.conv2d(x, w, b, problem.layer.stride, pad))


def _prepared(problem: Problem, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, pad: int) -> Contender:
    layer = problem.layer
    conv = torch.nn.Conv2d(layer.channels, layer.channels, layer.kernel, layer.stride, pad).eval()
    conv.weight.data, conv.bias.data = w, b  # type: ignore[union-attr]
    from torch.utils import mkldnn

    prepared: Any = mkldnn.to_mkldnn(conv)
    inputs = x.to_mkldnn()
    return _contender("PyTorch fp32 oneDNN layout", problem, lambda: prepared(inputs))


def _contender(name: str, problem: Problem, compute: Any) -> Contender:
    kept: list[torch.Tensor] = []

    def run() -> None:
        with torch.inference_mode():
            kept[:] = [compute()]

    def output() -> Any:
        result = kept[0].to_dense() if kept[0].is_mkldnn else kept[0]
        return result.permute(0, 2, 3, 1).numpy()

    return Contender(name, "fp32", looped(run), output, problem.expected_float)


def _quantized(problem: Problem, engine: str, x: torch.Tensor, w: torch.Tensor, pad: int) -> Contender:
    """Activations 127 and 129 around the zero point 128, every scale 1."""
    torch.backends.quantized.engine = engine
    stride = problem.layer.stride
    unsigned = torch.quantize_per_tensor(x, 1.0, 128, torch.quint8).to(memory_format=torch.channels_last)
    signed = torch.quantize_per_tensor(w, 1.0, 0, torch.qint8)
    operators: Any = torch.ops.quantized
    weights = operators.conv2d_prepack(signed, None, [stride] * 2, [pad] * 2, [1, 1], 1)
    kept: list[torch.Tensor] = []

    def run() -> None:
        with torch.inference_mode():
            kept[:] = [operators.conv2d.new(unsigned, weights, 1.0, 128)]

    def output() -> Any:
        return kept[0].int_repr().permute(0, 2, 3, 1).numpy()

    expected = (problem.expected_int8.astype(np.int16) + 128).astype(np.uint8)
    return Contender(f"PyTorch int8 {engine}", "int8", looped(run), output, expected)
