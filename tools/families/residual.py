"""Residual networks: a shortcut round every 1-bit convolution."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from families.estimators import clipped_sign, polynomial_sign, smooth_sign


class _Conv(nn.Conv2d):
    """A 1-bit convolution; subclasses say how both sides are binarised."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.binary_input(x), self.binary_weight(), None, self.stride, self.padding)

    def binary_input(self, x: Tensor) -> Tensor:
        return polynomial_sign(x)

    def binary_weight(self) -> Tensor:
        raise NotImplementedError


class BiRealConv(_Conv):
    """Scales per output channel, mean magnitudes without a gradient (Liu et al. 2018)."""

    def binary_weight(self) -> Tensor:
        scale = self.weight.abs().mean((3, 2, 1), keepdim=True).detach()
        return (scale * torch.sign(self.weight) - self.weight.clamp(-1, 1)).detach() + self.weight.clamp(
            -1, 1
        )


class IrConv(_Conv):
    """Weights of mean 0 and deviation 1, scaled by a power of two (Qin et al. 2020)."""

    def binary_input(self, x: Tensor) -> Tensor:
        return smooth_sign(x)

    def binary_weight(self) -> Tensor:
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        w = w / w.std((1, 2, 3), keepdim=True)
        shift = 2 ** torch.round(torch.log2(w.abs().mean((1, 2, 3), keepdim=True))).detach()
        return smooth_sign(w) * shift


class ReCuConv(_Conv):
    """Weights beyond a quantile are brought back first (Xu et al. 2021)."""

    def binary_weight(self) -> Tensor:
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        flat = w.flatten(1)
        low, high = (torch.quantile(flat, q, dim=1).detach().view(-1, 1, 1, 1) for q in (0.05, 0.95))
        w = torch.max(torch.min(w, high), low)
        return clipped_sign(w) * w.abs().mean((1, 2, 3), keepdim=True).detach()


class AdaBinConv(_Conv):
    """Both sides take any two values (Tu et al. 2022)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, bias=False)
        self.alpha, self.beta = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))

    def binary_input(self, x: Tensor) -> Tensor:
        return self.alpha * (clipped_sign((x - self.beta) / self.alpha) + self.beta)

    def binary_weight(self) -> Tensor:
        centre, spread = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return spread * clipped_sign((self.weight - centre) / spread) + centre


class TernaryConv(_Conv):
    """Ternary weight networks: 0 below 0.7 mean magnitudes (Li et al. 2016)."""

    def binary_weight(self) -> Tensor:
        size = self.weight.abs()
        kept = (size > 0.7 * size.mean((1, 2, 3), keepdim=True)).float()
        scale = (size * kept).sum((1, 2, 3), keepdim=True) / kept.sum((1, 2, 3), keepdim=True)
        return (scale * torch.sign(self.weight) * kept - self.weight).detach() + self.weight


class _Block(nn.Module):
    """Convolution, norm, shortcut, activation."""

    def __init__(self, make: Callable[..., nn.Module], inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = make(inputs, outputs, 3, stride, 1)
        self.norm, self.act = nn.BatchNorm2d(outputs), nn.PReLU(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.norm(self.conv(x)) + self.shortcut(x))
        return y


def bireal(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Module:
    """A layer of Bi-Real."""
    return BiRealConv(inputs, outputs, kernel, stride, padding, bias=False)


def irnet(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Module:
    """A layer of IR-Net."""
    return IrConv(inputs, outputs, kernel, stride, padding, bias=False)


def recu(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Module:
    """A layer of ReCU."""
    return ReCuConv(inputs, outputs, kernel, stride, padding, bias=False)


def ternary(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> nn.Module:
    """A layer with ternary weights."""
    return TernaryConv(inputs, outputs, kernel, stride, padding, bias=False)


def residual(make: Callable[..., nn.Module]) -> nn.Module:
    """A stem, three blocks, and scores of ten classes."""
    blocks = [_Block(make, *sizes) for sizes in ((16, 16, 1), (16, 32, 2), (32, 32, 1))]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), *blocks, *head)


class LearnableBias(nn.Module):
    """ReActNet's: one number per channel, expanded to the input's shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.expand_as(x)


class ReActBlock(nn.Module):
    """RSign, 1-bit convolution, norm, shortcut, RPReLU (Liu et al. 2020)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shift, self.conv = LearnableBias(inputs), BiRealConv(inputs, outputs, 3, stride, 1, bias=False)
        self.norm, self.before, self.act, self.behind = (
            nn.BatchNorm2d(outputs), LearnableBias(outputs), nn.PReLU(outputs), LearnableBias(outputs)
        )  # fmt: skip
        self.down: nn.Module = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.twice = outputs == 2 * inputs

    def forward(self, x: Tensor) -> Tensor:
        same = self.down(x)
        same = torch.cat([same, same], 1) if self.twice else same
        y: Tensor = self.behind(self.act(self.before(self.norm(self.conv(self.shift(x))) + same)))
        return y


def react_resnet() -> nn.Module:
    """ReActNet on a residual network."""
    blocks = [ReActBlock(*sizes) for sizes in ((16, 16, 1), (16, 32, 2), (32, 32, 1))]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), *blocks, *head)


class GatedBlock(nn.Module):
    """A 1-bit convolution whose result is gated by squeeze and excitation, with a temperature that decides how weights are binarised."""

    temperature: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, channels, 3, 3) / 8)
        self.register_buffer("temperature", torch.tensor(1e-8))
        self.norm, self.act = nn.BatchNorm2d(channels), nn.PReLU(channels)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, 8, 1),
            nn.ReLU(),
            nn.Conv2d(8, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        # The temperature falls while it is trained: from tanh to sign.
        soft = self.temperature >= 1e-7
        weight = torch.tanh(self.weight / self.temperature) if soft else clipped_sign(self.weight)
        y: Tensor = self.act(self.norm(F.conv2d(clipped_sign(x), weight, None, 1, 1)) * self.gate(x) + x)
        return y


def gated() -> nn.Module:
    """In the style of BNext, with gates that clamp."""
    stem = (nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.MaxPool2d(2))
    return nn.Sequential(
        *stem, GatedBlock(32), GatedBlock(32), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10)
    )
