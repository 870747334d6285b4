"""The FDA-BNN ResNet of the BiBench benchmark (Qin et al., ICML 2023), for reading its checkpoints.

It computes what BiBench's code computes, down to `torch.sign` (0 stays 0) and the noise that only alpha = 0
switches off, and has the same parameter names below `arch.`. It is meant for deployment: `torch.sign` has no
gradient to train with.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ETA = 0.1
REDUCTION = 64
SERIES_START = 9


def _linear(features: int, outputs: int) -> nn.Linear:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        return nn.Linear(features, outputs, bias=False)


class BiBenchNoise(nn.Module):
    """Noise adaptation module: `e(t) = relu(t W1) W2 + 0.1 sin(t)` over the last dimension, no bias.

    Source: Xu et al., NeurIPS 2021 (arXiv 2103.00841), equations 13 to 15.

    Shapes: `t` (..., d), `fc1.weight` (hidden, d), `fc2.weight` (d, hidden). Without hidden features, as
    recent PyTorch makes them for d < 64, only the sine is left.
    """

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = _linear(features, hidden)
        self.fc2 = _linear(hidden, features)

    def forward(self, t: Tensor) -> Tensor:
        sine = ETA * torch.sin(t)
        if self.fc1.out_features == 0:
            return sine
        correction: Tensor = self.fc2(F.relu(self.fc1(t)))
        return correction + sine


@dataclass(frozen=True)
class BinaryForm:
    """Options that all binary convolutions of a network share.

    Attributes:
        bias: they have one.
        weight_noise: noise modules on weights.
        act_noise: noise modules on activations.
        narrow_reduction: features per hidden feature in noise modules of fewer than 64 features.
    """

    bias: bool
    weight_noise: bool
    act_noise: bool
    narrow_reduction: int


class BiBenchConv2d(nn.Module):
    """Binary convolution: `conv(sign(x) + alpha e(x), (sign(w) + alpha e(w)) * mean|w|) + bias`.

    The mean is taken per output channel of the latent weight. Zero padding stands after the sign. The noise
    of the weight works on flattened filters, that of the input on the channels of every position.

    Shapes: input (N, in, H, W), output (N, out, H', W').
    """

    alpha: Tensor
    n: Tensor

    def __init__(self, inputs: int, outputs: int, stride: int, form: BinaryForm) -> None:
        super().__init__()
        self.stride = stride
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3, 3))
        nn.init.kaiming_normal_(self.weight)
        self.bias = nn.Parameter(torch.zeros(outputs)) if form.bias else None
        self.register_buffer("alpha", torch.tensor(0.0))
        self.register_buffer("n", torch.tensor(SERIES_START))
        self.weight_noise = _noise(inputs * 9, form.narrow_reduction) if form.weight_noise else None
        self.act_noise = _noise(inputs, form.narrow_reduction) if form.act_noise else None

    def forward(self, x: Tensor) -> Tensor:
        weight, values = torch.sign(self.weight), torch.sign(x)
        if self.weight_noise is not None:
            noise = self.weight_noise(self.weight.flatten(1)).view(self.weight.shape)
            weight = weight + self.alpha * noise
        if self.act_noise is not None:
            noise = self.act_noise(x.movedim(1, -1)).movedim(-1, 1)
            values = values + self.alpha * noise
        # One dimension after the other, as the weights were trained: another order rounds differently.
        magnitude = self.weight.abs()
        scale = magnitude.mean(3, keepdim=True).mean(2, keepdim=True).mean(1, keepdim=True)
        return F.conv2d(values, weight * scale, self.bias, self.stride, padding=1)


def _noise(features: int, narrow_reduction: int) -> BiBenchNoise:
    return BiBenchNoise(features, features // (REDUCTION if features >= REDUCTION else narrow_reduction))


class BiBenchBlock(nn.Module):
    """Two binary convolutions with a shortcut over both, in the Bi-Real form also over each one.

    Plain: `h = hardtanh(bn1(conv1(x)))`, `y = hardtanh(bn2(conv2(h)) + s)` with the shortcut `s = x`, or
    `s = downsample(x)` where the shape changes. Bi-Real form: `h = hardtanh(bn1(conv1(x)) + s)`.
    """

    def __init__(self, inputs: int, width: int, stride: int, form: BinaryForm, *, bireal: bool) -> None:
        super().__init__()
        self.bireal = bireal
        self.conv1 = BiBenchConv2d(inputs, width, stride, form)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = BiBenchConv2d(width, width, 1, form)
        self.bn2 = nn.BatchNorm2d(width)
        self.activation = nn.Hardtanh()
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != width:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = self.bn1(self.conv1(x))
        if self.bireal:
            y = y + shortcut
        y = self.bn2(self.conv2(self.activation(y)))
        result: Tensor = self.activation(y + shortcut)
        return result


class BiBenchBackbone(nn.Module):
    """Float stem, BN, Hardtanh, for 224 x 224 images a max pool, then stages of binary blocks."""

    def __init__(
        self,
        *,
        blocks: Sequence[int],
        widths: Sequence[int],
        strides: Sequence[int],
        stem: Literal["cifar", "imagenet"],
        stem_channels: int,
        in_channels: int,
        bireal: bool,
        form: BinaryForm,
    ) -> None:
        super().__init__()
        size, stride = (3, 1) if stem == "cifar" else (7, 2)
        self.conv1 = nn.Conv2d(in_channels, stem_channels, size, stride, padding=size // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(stem_channels)
        self.activation = nn.Hardtanh()
        self.maxpool = nn.Identity() if stem == "cifar" else nn.MaxPool2d(3, 2, padding=1)
        self.stages = len(blocks)
        inputs = stem_channels
        for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            layers = nn.Sequential()
            for block in range(count):
                step = strides[stage] if block == 0 else 1
                layers.append(BiBenchBlock(inputs, width, step, form, bireal=bireal))
                inputs = width
            self.add_module(f"layer{stage + 1}", layers)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.activation(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return x


class BiBenchHead(nn.Module):
    """The float linear classifier. Input (N, C, H, W), of which the mean over H and W is taken."""

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(features, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.pool(x).flatten(1))
        return logits


class BiBenchResNet(nn.Module):
    """Backbone and head. Input (N, in_channels, H, W), normalised; output (N, num_classes), logits."""

    def __init__(
        self, backbone: BiBenchBackbone, head: BiBenchHead, input_shape: tuple[int, int, int]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.input_shape = input_shape

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(x))
        return logits


def bibench_resnet(
    *,
    blocks: Sequence[int] = (3, 3, 3),
    widths: Sequence[int] = (16, 32, 64),
    strides: Sequence[int] | None = None,
    stem: Literal["cifar", "imagenet"] = "cifar",
    stem_channels: int = 64,
    in_channels: int = 3,
    num_classes: int = 10,
    bireal: bool = False,
    conv_bias: bool = False,
    weight_noise: bool = True,
    act_noise: bool = True,
    narrow_reduction: int = REDUCTION,
) -> nn.Module:
    """Makes the FDA-BNN ResNet of BiBench; the defaults are its ResNet-20 for CIFAR-10.

    Args:
        blocks: number of blocks per stage.
        widths: channels per stage.
        strides: of the first block of each stage; by default 1, then 2.
        stem: "cifar" (3x3) or "imagenet" (7x7 of stride 2 and a 3x3 max pool of stride 2).
        stem_channels: channels of the stem; BiBench's ResNet-20 keeps the 64 of larger networks.
        in_channels: of the images.
        num_classes: number of outputs.
        bireal: a shortcut over each binary convolution.
        conv_bias: binary convolutions have a bias.
        weight_noise: noise modules on weights.
        act_noise: noise modules on activations.
        narrow_reduction: features per hidden feature in noise modules of fewer than 64 features: 64 leaves
            none (recent PyTorch), 4 is what the code fell back to where PyTorch refused empty layers.

    Raises:
        ValueError: the lists have different lengths, or a value is not one of those above.
    """
    strides = tuple(strides) if strides is not None else (1, *[2] * (len(blocks) - 1))
    if not len(blocks) == len(widths) == len(strides) > 0:
        raise ValueError(f"blocks {blocks}, widths {widths} and strides {strides} have one entry per stage")
    if stem not in ("cifar", "imagenet"):
        raise ValueError(f"stem is 'cifar' or 'imagenet', not {stem!r}")
    if narrow_reduction < 1:
        raise ValueError(f"narrow_reduction is at least 1, not {narrow_reduction}")
    backbone = BiBenchBackbone(
        blocks=blocks,
        widths=widths,
        strides=strides,
        stem=stem,
        stem_channels=stem_channels,
        in_channels=in_channels,
        bireal=bireal,
        form=BinaryForm(conv_bias, weight_noise, act_noise, narrow_reduction),
    )
    side = 32 if stem == "cifar" else 224
    return BiBenchResNet(backbone, BiBenchHead(widths[-1], num_classes), (in_channels, side, side))
