"""AlexNet for 224 x 224 images with binary hidden layers, in the form usual for BNNs.

Widths and kernels of the one-column AlexNet with batch norm (Rastegari et al. 2016, XNOR-Net,
arXiv 1603.05279): the first convolution and the last dense layer are float, four convolutions and the two
hidden dense layers are binary.
"""

from __future__ import annotations

from torch import Tensor, nn

from fdabnn_models.layers.binary import FDAConv2d, FDALinear, Scale

STEM = 96
HIDDEN = 4096


def _binary_conv(inputs: int, channels: int, kernel: int, scale: Scale, *, pool: bool) -> nn.Sequential:
    layers: list[nn.Module] = [
        FDAConv2d(inputs, channels, kernel, padding=kernel // 2, scale=scale),
        nn.PReLU(),
        nn.BatchNorm2d(channels),
    ]
    if pool:
        layers.append(nn.MaxPool2d(3, stride=2))
    return nn.Sequential(*layers)


def _binary_dense(inputs: int, outputs: int, scale: Scale) -> nn.Sequential:
    return nn.Sequential(FDALinear(inputs, outputs, scale=scale), nn.PReLU(), nn.BatchNorm1d(outputs))


class AlexNet(nn.Module):
    """Input (N, 3, 224, 224), normalised; output (N, num_classes), logits."""

    input_shape = (3, 224, 224)

    def __init__(self, *, num_classes: int, scale: Scale) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, STEM, 11, stride=4, padding=2, bias=False),
            nn.BatchNorm2d(STEM),
            nn.MaxPool2d(3, stride=2),
        )
        self.features = nn.Sequential(
            _binary_conv(STEM, 256, 5, scale, pool=True),
            _binary_conv(256, 384, 3, scale, pool=False),
            _binary_conv(384, 384, 3, scale, pool=False),
            _binary_conv(384, 256, 3, scale, pool=True),
        )
        self.flatten = nn.Flatten()
        self.hidden = nn.Sequential(
            _binary_dense(256 * 6 * 6, HIDDEN, scale), _binary_dense(HIDDEN, HIDDEN, scale)
        )
        self.fc = nn.Linear(HIDDEN, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.flatten(self.features(self.stem(x)))
        logits: Tensor = self.fc(self.hidden(x))
        return logits


def alexnet(*, num_classes: int = 1000, scale: Scale = "tensor") -> nn.Module:
    """AlexNet with four binary convolutions and two binary dense layers."""
    return AlexNet(num_classes=num_classes, scale=scale)
