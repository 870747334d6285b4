"""Sign with the Fourier-series gradient of FDA-BNN.

Source: Xu et al., "Learning Frequency Domain Approximation for Binary Neural Networks", NeurIPS 2021
(arXiv 2103.00841), equations 6 to 10.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Below this |phi| the quotient equals its limit n + 1 to better than float32 precision for every n <= 64.
_SMALL = 1e-7


def binary_sign(t: Tensor) -> Tensor:
    """Return ``where(t < 0, -1, 1)`` in the dtype of ``t``: +0, -0 and NaN are +1."""
    one = torch.ones((), dtype=t.dtype, device=t.device)
    return torch.where(t < 0, -one, one)


def fourier_sign_derivative(t: Tensor, n: Tensor | int, omega: float, *, bounded: bool = False) -> Tensor:
    """Derivative of the truncated Fourier series of the square wave (paper, equation 10).

    Formula: ``4 omega / pi * sum_{i=0..n} cos((2i + 1) omega t)``, computed in its closed form
    ``4 omega / pi * sin(2 (n + 1) theta) / (2 sin(theta))`` with ``theta = omega t``, whose limit is
    ``(n + 1) cos(theta)`` where ``sin(theta)`` is 0.

    Args:
        t: any shape, floating point.
        n: index of the last term, an int or a zero-dimensional integer tensor.
        omega: angular frequency in radians per unit of ``t``.
        bounded: the caller knows that only values with ``|omega t| < pi`` matter, so that the reduction of
            theta to one period (needed for accuracy near the multiples of pi) can be left out.
    """
    theta = t * omega
    terms = n + 1
    if bounded:
        phi, parity = theta, None
    else:
        multiple = torch.round(theta / math.pi)
        phi = theta - multiple * math.pi
        parity = 1 - 2 * torch.remainder(multiple, 2)
    small = phi.abs() < _SMALL
    safe = torch.where(small, _SMALL, phi)
    ratio = torch.sin(safe * (2 * terms)) / (2 * torch.sin(safe))
    if parity is not None:
        ratio = ratio * parity
    return ratio * (4 * omega / math.pi)


class _FdaSign(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, t: Tensor, n: Tensor, omega: float, clip: bool
    ) -> Tensor:
        ctx.save_for_backward(t, n)
        ctx.omega = omega  # type: ignore[attr-defined]
        ctx.clip = clip  # type: ignore[attr-defined]
        return binary_sign(t)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        t, n = ctx.saved_tensors  # type: ignore[attr-defined]
        omega: float = ctx.omega  # type: ignore[attr-defined]
        clip: bool = ctx.clip  # type: ignore[attr-defined]
        grad = grads[0] * fourier_sign_derivative(t, n, omega, bounded=clip and omega < math.pi)
        if clip:
            grad = torch.where(t.abs() <= 1, grad, 0.0)
        return grad, None, None, None


def fda_sign(t: Tensor, n: Tensor, *, omega: float = 0.1, clip: bool = True) -> Tensor:
    """Sign whose gradient is the derivative of the truncated Fourier series.

    Forward: ``where(t < 0, -1, 1)``. Backward: ``fourier_sign_derivative(t, n, omega)``, set to 0 for
    ``|t| > 1`` where ``clip`` is true (the paper has no such clip; the BiBench code has it).

    Args:
        t: any shape.
        n: zero-dimensional int64 tensor, index of the last term of the series; a tensor, so that changing
            it between epochs does not recompile a compiled model.
        omega: angular frequency in radians per unit of ``t``.
        clip: zero the gradient for ``|t| > 1``.
    """
    result: Tensor = _FdaSign.apply(t, n, omega, clip)  # type: ignore[no-untyped-call]
    return result
