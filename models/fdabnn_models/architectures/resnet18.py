"""ResNet-18 for 224 x 224 images with a shortcut over each of its 16 binary convolutions.

Structure of Bi-Real Net (Liu et al. 2018, arXiv 1808.00278): float 7x7 stem, and where the shape changes
the shortcut is 2x2 average pooling, a float 1x1 convolution and batch norm. As in the FDA-BNN code the order
behind a binary convolution is PReLU with one shared slope, then batch norm.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from fdabnn_models.architectures.stages import make_stages
from fdabnn_models.layers.binary import FDAConv2d, Scale

WIDTHS = (64, 128, 256, 512)
CONVS_PER_STAGE = 4


class BinaryUnit(nn.Module):
    """``bn(prelu(binary_conv(x))) + shortcut(x)``. Input (N, in, H, W), output (N, out, H/stride, W/stride)."""

    def __init__(self, inputs: int, channels: int, stride: int, *, scale: Scale) -> None:
        super().__init__()
        self.conv = FDAConv2d(inputs, channels, 3, stride=stride, padding=1, scale=scale)
        self.prelu = nn.PReLU()
        self.bn = nn.BatchNorm2d(channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != channels:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(inputs, channels, 1, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn(self.prelu(self.conv(x))) + self.shortcut(x)
        return y


class ResNet18(nn.Module):
    """Input (N, 3, 224, 224), normalised; output (N, num_classes), logits."""

    input_shape = (3, 224, 224)

    def __init__(self, *, num_classes: int, scale: Scale) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = make_stages(
            WIDTHS, CONVS_PER_STAGE, partial(BinaryUnit, scale=scale)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(WIDTHS[-1], num_classes)
        nn.init.kaiming_normal_(self.conv1.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(self.flatten(self.pool(x)))
        return logits


def resnet18(*, num_classes: int = 1000, scale: Scale = "tensor") -> nn.Module:
    """ResNet-18 with 16 binary convolutions; stem, 1x1 shortcuts and the last layer are float."""
    return ResNet18(num_classes=num_classes, scale=scale)
