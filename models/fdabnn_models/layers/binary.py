"""Binary convolution and dense layer of FDA-BNN.

While ``alpha`` > 0 (in training) the layer computes with ``sign(t) + alpha * e(t)`` for weights and
activations, which is not binary; with ``alpha`` = 0 it is a binary layer with one positive scale.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_models.layers import fused
from fdabnn_models.layers.nam import ETA, NoiseAdaptation
from fdabnn_models.layers.norm import as_rows, from_rows
from fdabnn_models.layers.sign import fda_sign

Scale = Literal["tensor", "channel"]
N_START = 9


class _FDALayer(nn.Module):
    """Base of the binary convolution and the binary dense layer: weight, schedule buffers, both NAMs."""

    alpha: Tensor
    n: Tensor

    def __init__(
        self, weight_shape: tuple[int, ...], *, bias: bool, scale: Scale, omega: float, clip: bool
    ) -> None:
        super().__init__()
        if scale not in ("tensor", "channel"):
            raise ValueError(f"scale is 'tensor' or 'channel', not {scale!r}")
        self.scale = scale
        self.omega = omega
        self.clip = clip
        self.weight = nn.Parameter(torch.empty(weight_shape))
        nn.init.kaiming_normal_(self.weight)
        self.bias = nn.Parameter(torch.zeros(weight_shape[0])) if bias else None
        self.register_buffer("alpha", torch.tensor(0.0))
        self.register_buffer("n", torch.tensor(N_START, dtype=torch.int64))
        self.weight_noise = NoiseAdaptation(math.prod(weight_shape[1:]))
        self.act_noise = NoiseAdaptation(weight_shape[1])

    def _noisy(self) -> bool:
        """Whether the noise is computed.

        Outside of training ``alpha`` = 0 takes it away. Programs that are traced keep it: they may get another alpha.
        """
        return self.training or torch.compiler.is_compiling() or bool(self.alpha)

    def _sign(self, t: Tensor) -> Tensor:
        return fda_sign(t, self.n, omega=self.omega, clip=self.clip)

    def _fused(self, t: Tensor, channels: int) -> bool:
        """Whether the sign and noise of ``t``, in rows of ``channels``, are left to the fused pass."""
        if not (self.training and self.clip and fused.serves(t, channels)):
            return False
        return (2 * int(self.n) + 1) * self.omega <= fused.MOST_RADIANS

    def _fused_binarise(self, rows: Tensor, noise: NoiseAdaptation, scale: Tensor | None = None) -> Tensor:
        return fused.binarise(
            rows,
            noise.fc1.weight,
            noise.fc2.weight,
            alpha=float(self.alpha),
            eta=ETA,
            series=fused.series_polynomial(int(self.n), self.omega),
            scale=scale,
            dtype=fused.result_type(rows),
        )

    def weight_scale(self) -> Tensor:
        """Mean of ``|weight|``: one value for the tensor (DoReFa), or one per output channel.

        It is detached: the scale follows the latent weights and gives them no gradient of its own.
        Shape: (1, ...) or (out, 1, ...), to be multiplied with the weight.
        """
        magnitude = self.weight.detach().abs()
        dims = tuple(range(0 if self.scale == "tensor" else 1, magnitude.ndim))
        return magnitude.mean(dims, keepdim=True)

    def effective_weight(self) -> Tensor:
        """``(sign(w) + alpha e(w)) * scale``, in the shape of the weight."""
        filters = self.weight.flatten(1)
        if self._fused(filters, filters.shape[1]):
            scale = self.weight_scale().flatten().expand(len(filters)).contiguous()
            return self._fused_binarise(filters.contiguous(), self.weight_noise, scale).view(
                self.weight.shape
            )
        if not self._noisy():
            return self._sign(self.weight) * self.weight_scale()
        noise: Tensor = self.weight_noise(filters).view(self.weight.shape)
        return (self._sign(self.weight) + self.alpha * noise) * self.weight_scale()


class FDAConv2d(_FDALayer):
    """Binary 2-D convolution: ``conv(sign(x) + alpha e(x), (sign(w) + alpha e(w)) * scale)``.

    Shapes: input (N, in, H, W), output (N, out, H', W') as ``torch.nn.Conv2d``. The zero padding comes after
    the sign, so border taps are 0, not +-1. The NAM of the activations works on the channels of every
    position, the NAM of the weights on every flattened filter.

    Args:
        scale: "tensor" for one ``mean|w|``, "channel" for one per output channel.
        omega: angular frequency of the sign's gradient series, in radians per unit.
        clip: zero the sign's gradient for ``|t| > 1``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = False,
        scale: Scale = "tensor",
        omega: float = 0.1,
        clip: bool = True,
    ) -> None:
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        super().__init__(shape, bias=bias, scale=scale, omega=omega, clip=clip)
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        if self._fused(x, x.shape[1]):
            binary = from_rows(self._fused_binarise(as_rows(x), self.act_noise), x)
        elif self._noisy():
            noise = self.act_noise(x.movedim(1, -1)).movedim(-1, 1)
            binary = self._sign(x) + self.alpha * noise
        else:
            binary = self._sign(x)
        return F.conv2d(binary, self.effective_weight(), self.bias, self.stride, self.padding)


class FDALinear(_FDALayer):
    """Binary dense layer: ``(sign(x) + alpha e(x)) ((sign(w) + alpha e(w)) * scale)^T``.

    Shapes: input (N, in), output (N, out). Arguments as ``FDAConv2d``.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = False,
        scale: Scale = "tensor",
        omega: float = 0.1,
        clip: bool = True,
    ) -> None:
        super().__init__((out_features, in_features), bias=bias, scale=scale, omega=omega, clip=clip)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 2 and self._fused(x, x.shape[1]):
            binary = self._fused_binarise(x.contiguous(), self.act_noise)
        else:
            binary = self._sign(x) + self.alpha * self.act_noise(x) if self._noisy() else self._sign(x)
        return F.linear(binary, self.effective_weight(), self.bias)
