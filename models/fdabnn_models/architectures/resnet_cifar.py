"""ResNet-20 for 32 x 32 images with binary convolutions.

``resnet20`` is the network of the FDA-BNN authors' released code (a shortcut over both convolutions of a
block); ``resnet20_bireal`` has a shortcut over each convolution, as Bi-Real Net (Liu et al. 2018,
arXiv 1808.00278). In both the order is convolution, PReLU with one shared slope, batch norm.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_models.architectures.stages import make_stages
from fdabnn_models.layers.binary import FDAConv2d, Scale
from fdabnn_models.layers.norm import prelu_norm

Shortcut = Literal["block", "conv"]
WIDTHS = (16, 32, 64)
BLOCKS_PER_STAGE = 3


def shortcut_a(x: Tensor, channels: int, stride: int) -> Tensor:
    """Parameter-free shortcut (type A): every second pixel, zero channels added evenly on both sides."""
    if stride == 1:
        return x
    missing = channels - x.shape[1]
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, missing // 2, missing - missing // 2))


class BasicBlock(nn.Module):
    """Two binary convolutions; no activation after the additions. Input (N, in, H, W)."""

    def __init__(self, inputs: int, channels: int, stride: int, *, shortcut: Shortcut, scale: Scale) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride
        self.shortcut = shortcut
        self.conv1 = FDAConv2d(inputs, channels, 3, stride=stride, padding=1, scale=scale)
        self.prelu1 = nn.PReLU()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = FDAConv2d(channels, channels, 3, padding=1, scale=scale)
        self.prelu2 = nn.PReLU()
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        identity = shortcut_a(x, self.channels, self.stride)
        if self.shortcut == "conv":
            identity = prelu_norm(self.conv1(x), self.prelu1, self.bn1, identity)
            y = identity
        else:
            y = prelu_norm(self.conv1(x), self.prelu1, self.bn1)
        return prelu_norm(self.conv2(y), self.prelu2, self.bn2, identity)


class ResNetCifar(nn.Module):
    """Float stem convolution and BN, three stages of binary blocks, ReLU, global mean, float linear layer.

    Input (N, 3, 32, 32), normalised; output (N, num_classes), logits.
    """

    input_shape = (3, 32, 32)

    def __init__(self, *, num_classes: int, scale: Scale, shortcut: Shortcut) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.layer1, self.layer2, self.layer3 = make_stages(
            WIDTHS, BLOCKS_PER_STAGE, partial(BasicBlock, shortcut=shortcut, scale=scale)
        )
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(WIDTHS[-1], num_classes)
        nn.init.kaiming_normal_(self.conv1.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = prelu_norm(self.conv1(x), None, self.bn1)
        x = self.layer3(self.layer2(self.layer1(x)))
        x = self.pool(self.relu(x)).flatten(1)
        logits: Tensor = self.linear(x)
        return logits


def resnet20(*, num_classes: int = 10, scale: Scale = "tensor") -> nn.Module:
    """ResNet-20 as released by the FDA-BNN authors: shortcut over both convolutions of a block."""
    return ResNetCifar(num_classes=num_classes, scale=scale, shortcut="block")


def resnet20_bireal(*, num_classes: int = 10, scale: Scale = "tensor") -> nn.Module:
    """ResNet-20 with a shortcut over every binary convolution."""
    return ResNetCifar(num_classes=num_classes, scale=scale, shortcut="conv")
