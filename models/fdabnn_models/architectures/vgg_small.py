"""VGG-small for 32 x 32 images: one float and five binary convolutions, a float linear layer.

Widths as in the BNN literature (128, 128, 256, 256, 512, 512; Zhang et al. 2018, LQ-Nets, arXiv 1807.10029).
The pooling stands last in its block, directly before the next sign, where it works on single bits.
"""

from __future__ import annotations

from torch import Tensor, nn

from fdabnn_models.layers.binary import FDAConv2d, Scale

WIDTHS = (128, 128, 256, 256, 512, 512)


class ConvBlock(nn.Module):
    """3x3 convolution, batch norm, Hardtanh and, where ``pool`` is true, 2x2 max pooling."""

    def __init__(self, conv: nn.Module, channels: int, *, pool: bool) -> None:
        super().__init__()
        self.conv = conv
        self.bn = nn.BatchNorm2d(channels)
        self.act = nn.Hardtanh()
        self.pool = nn.MaxPool2d(2) if pool else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.pool(self.act(self.bn(self.conv(x))))
        return y


class VggSmall(nn.Module):
    """Input (N, 3, 32, 32), normalised; output (N, num_classes), logits."""

    input_shape = (3, 32, 32)

    def __init__(self, *, num_classes: int, scale: Scale) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        inputs = self.input_shape[0]
        for index, channels in enumerate(WIDTHS):
            conv: nn.Module
            if index == 0:
                conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
                nn.init.kaiming_normal_(conv.weight)
            else:
                conv = FDAConv2d(inputs, channels, 3, padding=1, scale=scale)
            blocks.append(ConvBlock(conv, channels, pool=index % 2 == 1))
            inputs = channels
        self.features = nn.Sequential(*blocks)
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(WIDTHS[-1] * 4 * 4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.flatten(self.features(x)))
        return logits


def vgg_small(*, num_classes: int = 10, scale: Scale = "tensor") -> nn.Module:
    """VGG-small with five binary convolutions."""
    return VggSmall(num_classes=num_classes, scale=scale)
