"""Training's element-wise passes in compiled loops: sign with noise, and PReLU with batch norm and shortcut.

Each is one or two passes over memory instead of one per operator, forward and backward. The loops are those of
``fdabnn_deploy/native/training/`` (x86-64 with AVX2 or AVX-512). ``layers.py`` and ``norm.py`` hold the same formulas in
PyTorch, which serve everywhere else, and which the tests compare these with.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any

import torch
from torch import Tensor

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.native import training_path

TERMS = 10
# Highest angular frequency up to which the polynomial stands for the series.
MOST_RADIANS = 4.0
_TYPES = {torch.float32: 0, torch.bfloat16: 1}


class _Binarise(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "channels", "hidden")),
        ("t", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("t_type", "y_type")),
        *((name, ctypes.c_void_p) for name in ("w1", "w2", "scale")),
        *((name, ctypes.c_float) for name in ("alpha", "eta")),
        ("series", ctypes.c_void_p),
    ]


class _Norm(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int64) for name in ("rows", "channels")),
        ("c", ctypes.c_void_p),
        *((name, ctypes.c_int32) for name in ("type", "slopes")),
        ("slope", ctypes.c_void_p),
    ]


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The library where this installation has it and this processor its instructions."""
    try:
        library = ctypes.CDLL(training_path())
    except (RuntimeMissingError, OSError):
        return None
    if not library.fdabnn_training_supported():
        return None
    library.fdabnn_training_pool.restype = ctypes.c_void_p
    library.fdabnn_training_most_channels.restype = ctypes.c_int64
    return library


@functools.cache
def _pool(threads: int) -> int | None:
    library = _library()
    assert library is not None
    return None if threads <= 1 else library.fdabnn_training_pool(threads)


def _call(name: str, op: ctypes.Structure, *arguments: Tensor | None) -> None:
    """Call a pass; tensors go by address, which the caller keeps alive."""
    library = _library()
    assert library is not None
    addresses = [None if tensor is None else ctypes.c_void_p(tensor.data_ptr()) for tensor in arguments]
    pool = ctypes.c_void_p(_pool(torch.get_num_threads()))
    getattr(library, f"fdabnn_training_{name}")(pool, ctypes.byref(op), *addresses)


def serves(t: Tensor, channels: int) -> bool:
    """Whether the loops take ``t``, with rows of so many channels; not while a compiler follows the code."""
    return (
        t.device.type == "cpu"
        and t.dtype in _TYPES
        and result_type(t) in _TYPES
        and t.numel() > 0
        and not torch.compiler.is_compiling()
        and torch.is_grad_enabled()
        and (library := _library()) is not None
        and channels <= int(library.fdabnn_training_most_channels())
    )


def result_type(t: Tensor) -> torch.dtype:
    """The type in which the convolution that reads ``t`` computes: autocast's, or that of ``t``."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else t.dtype


@functools.lru_cache(maxsize=64)
def series_polynomial(n: int, omega: float) -> Tensor:
    """Coefficients of the polynomial in t^2 that stands for ``fourier_sign_derivative(t, n, omega)`` on |t| <= 1.

    Taylor's series of the cosines, ascending powers: ``4 omega / pi sum_i (-1)^k ((2i + 1) omega)^(2k) / (2k)!``. In float32 it is within
    4e-7 of the largest value where ``(2 n + 1) omega <= MOST_RADIANS``.
    """
    coefficients = [
        (-1) ** k / math.factorial(2 * k) * math.fsum(((2 * i + 1) * omega) ** (2 * k) for i in range(n + 1))
        for k in range(TERMS)
    ]
    return torch.tensor([4 * omega / math.pi * c for c in coefficients], dtype=torch.float32)


class _BinariseRows(torch.autograd.Function):
    """See ``binarise``; ``t`` is contiguous [rows, channels]."""

    @staticmethod
    def forward(
        ctx: Any,
        t: Tensor,
        w1: Tensor,
        w2: Tensor,
        scale: Tensor | None,
        numbers: tuple[float, float],
        series: Tensor,
        dtype: torch.dtype,
    ) -> Tensor:
        w1, w2 = w1.float().contiguous(), w2.float().t().contiguous()
        ctx.numbers, ctx.dtype = numbers, dtype
        ctx.save_for_backward(t, w1, w2, scale, series)
        y = torch.empty_like(t, dtype=dtype)
        _call("binarise", _binarise_op(t, w1, w2, scale, series, numbers, dtype), y)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        t, w1, w2, scale, series = ctx.saved_tensors
        grad_y = grads[0].contiguous()
        grad_t = torch.empty_like(t)
        grad_w1, grad_w2 = (
            torch.empty(w1.shape, dtype=torch.float64),
            torch.empty(w2.shape, dtype=torch.float64),
        )
        op = _binarise_op(t, w1, w2, scale, series, ctx.numbers, ctx.dtype)
        _call("binarise_grad", op, grad_y, grad_t, grad_w1, grad_w2)
        return grad_t, grad_w1.float(), grad_w2.t().float(), None, None, None, None


def _binarise_op(
    t: Tensor,
    w1: Tensor,
    w2: Tensor,
    scale: Tensor | None,
    series: Tensor,
    numbers: tuple[float, float],
    dtype: torch.dtype,
) -> _Binarise:
    rows, channels = t.shape
    return _Binarise(
        rows, channels, w1.shape[0], t.data_ptr(), _TYPES[t.dtype], _TYPES[dtype], w1.data_ptr(), w2.data_ptr(),
        None if scale is None else scale.data_ptr(), *numbers, series.data_ptr(),
    )  # fmt: skip


def binarise(
    t: Tensor,
    w1: Tensor,
    w2: Tensor,
    *,
    alpha: float,
    eta: float,
    series: Tensor,
    scale: Tensor | None = None,
    dtype: torch.dtype,
) -> Tensor:
    """``(sign(t) + alpha (relu(t W1) W2 + eta sin(t))) scale``, whose gradient of sign is the series on |t| <= 1.

    Args:
        t: contiguous [rows, channels], float32 or bfloat16, which ``serves`` has taken.
        w1: [hidden, channels], as ``NoiseAdaptation.fc1.weight``.
        w2: [channels, hidden], as ``fc2.weight``.
        alpha: weight of the noise.
        eta: factor of the sine.
        series: float32 [TERMS] of ``series_polynomial``.
        scale: float32 [rows], without gradient.
        dtype: of the result.
    """
    result: Tensor = _BinariseRows.apply(t, w1, w2, scale, (alpha, eta), series, dtype)  # type: ignore[no-untyped-call]
    return result


class _PreluNorm(torch.autograd.Function):
    """See ``prelu_norm``; matrices are [rows, channels]."""

    @staticmethod
    def forward(
        ctx: Any,
        c: Tensor,
        slope: Tensor,
        gamma: Tensor,
        beta: Tensor,
        shortcut: Tensor | None,
        shift: Tensor,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, channels = c.shape
        op = _Norm(rows, channels, c.data_ptr(), _TYPES[c.dtype], slope.numel(), slope.data_ptr())
        shift = shift.float().contiguous()
        sums = torch.empty((2, channels), dtype=torch.float64)
        _call("norm_sums", op, shift, sums[0], sums[1])
        distance, square = sums / rows
        mean, variance = shift + distance, (square - distance * distance).clamp_(min=0)
        inverse = (variance + eps).rsqrt()
        multiply = gamma.double() * inverse
        add = beta.double() - mean * multiply
        y = torch.empty_like(c)
        _call("norm", op, multiply.float(), add.float(), shortcut, y)
        ctx.save_for_backward(c, slope, mean, inverse, multiply)
        ctx.has_shortcut = shortcut is not None
        mean, variance = mean.float(), variance.float()
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        c, slope, mean, inverse, multiply = ctx.saved_tensors
        grad_y = grads[0].contiguous()
        rows, channels = c.shape
        op = _Norm(rows, channels, c.data_ptr(), _TYPES[c.dtype], slope.numel(), slope.data_ptr())
        sums = torch.empty((2, channels), dtype=torch.float64)
        mean32 = mean.float()
        _call("norm_grad_sums", op, mean32, grad_y, sums[0], sums[1])
        # The sums were taken around mean32, which is not the mean to the last bit.
        grad_beta, product = sums[0], sums[1] + sums[0] * (mean32 - mean)
        b = -multiply * inverse * inverse * product / rows
        d = -multiply * grad_beta / rows - b * mean
        grad_c, grad_slope = torch.empty_like(c), torch.empty(slope.numel(), dtype=torch.float64)
        _call("norm_grad", op, multiply.float(), b.float(), d.float(), grad_y, grad_c, grad_slope)
        shortcut = grad_y if ctx.has_shortcut else None
        return (
            grad_c,
            grad_slope.float(),
            (product * inverse).float(),
            grad_beta.float(),
            shortcut,
            None,
            None,
        )


def prelu_norm(
    c: Tensor,
    slope: Tensor,
    gamma: Tensor,
    beta: Tensor,
    shortcut: Tensor | None,
    *,
    shift: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Batch norm of ``prelu(c)`` by the batch's own statistics, plus ``shortcut``.

    Args:
        c: contiguous [rows, channels], float32 or bfloat16, which ``serves`` has taken.
        slope: of the PReLU, float32, one or one per channel.
        gamma: float32 [channels].
        beta: float32 [channels].
        shortcut: like ``c``, or None.
        shift: float32 [channels] near the mean (the running mean): sums around it lose no digits.
        eps: added to the variance.

    Returns:
        the result in the type of ``c``; mean and variance (of the population) over the rows, float32 [channels].
    """
    result: tuple[Tensor, Tensor, Tensor] = _PreluNorm.apply(c, slope, gamma, beta, shortcut, shift, eps)  # type: ignore[no-untyped-call]
    return result
