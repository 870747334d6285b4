"""Networks as people write them, whole: exported in every form, proved, and with equal bits on every runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fdabnn_deploy
from fdabnn_deploy.frontend.capture.idioms.written_testing import sign

pytestmark = pytest.mark.runtimes


class AdaBin(nn.Conv2d):
    """Weights `a B + b` per output channel, activations `alpha (s + beta)`."""

    def __init__(
        self, channels: int, out: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> None:
        super().__init__(channels, out, kernel, stride, padding, groups=groups, bias=False)
        self.alpha, self.beta = nn.Parameter(torch.tensor(0.9)), nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        centre, spread = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        weight = spread * sign(self.weight - centre) + centre
        x = self.alpha * (sign((x - self.beta) / self.alpha) + self.beta)
        return F.conv2d(x, weight, None, self.stride, self.padding, self.dilation, self.groups)


class ZeroOne(nn.Conv2d):
    """Activations of 0 and 1."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d((x > 0.1).float(), sign(self.weight), None, self.stride, self.padding)


class Ternary(nn.Conv2d):
    """Weights of -1, 0 and +1."""

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sign(self.weight) * (self.weight.abs() > 0.02)
        return F.conv2d(sign(x), weight, None, self.stride, self.padding)


class TernaryActivations(nn.Conv2d):
    """Activations of -1, 0 and +1 by two thresholds."""

    def forward(self, x: Tensor) -> Tensor:
        x = (x > 0.3).float() - (x < -0.3).float()
        return F.conv2d(x, sign(self.weight), None, self.stride, self.padding)


class TwoBits(nn.Conv2d):
    """DoReFa's activations of two bits."""

    def forward(self, x: Tensor) -> Tensor:
        x = torch.round(x.clamp(0, 1) * 3) / 3
        return F.conv2d(x, sign(self.weight) * self.weight.abs().mean(), None, self.stride, self.padding)


class Placed(nn.Conv2d):
    """XNOR-Net++: a scale per channel, row and column."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__(channels, channels, 3, 1, 1, bias=False)
        self.rows, self.columns = (
            nn.Parameter(torch.rand(1, *shape) + 0.5) for shape in ((channels, size, 1), (1, 1, size))
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(sign(x), sign(self.weight), None, 1, 1) * self.rows * self.columns


class Binary(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(sign(x), sign(self.weight), None, self.stride, self.padding, 1, self.groups)


class SameAsTensorFlow(Binary):
    """TensorFlow's padding: one row less in front than behind."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(sign(x), (0, 1, 0, 1)), sign(self.weight), None, self.stride)


class BinaryConv1d(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(sign(x), sign(self.weight), None, self.stride, self.padding)


class TwoLevelDense(nn.Linear):
    """A dense layer with weights `a B + b` and activations of 0 and 1."""

    def forward(self, x: Tensor) -> Tensor:
        centre = self.weight.mean(1, keepdim=True)
        weight = (self.weight - centre).abs().mean(1, keepdim=True) * sign(self.weight - centre) + centre
        return F.linear((x > 0).float(), weight, self.bias)


class Tokens(nn.Module):
    """Binary dense layers on rows of tokens, with an embedding of positions."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.position = nn.Conv2d(3, 32, 4, 4), nn.Parameter(torch.randn(1, 9, 32) / 4)
        self.weight, self.norm, self.head = (
            nn.Parameter(torch.randn(32, 32)),
            nn.BatchNorm1d(32),
            nn.Linear(32, 10),
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patch(x).flatten(2).transpose(1, 2) + self.position
        n, t, c = tokens.shape
        rows = self.norm(F.linear(sign(tokens.reshape(-1, c)), sign(self.weight)))
        y: Tensor = self.head((tokens + rows.view(n, t, c)).mean(1))
        return y


class Gated(nn.Module):
    """Squeeze and excitation with a sigmoid beside a binary layer, GELU behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = Binary(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(32, 8, 1), nn.SiLU(), nn.Conv2d(8, 32, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + F.gelu(self.norm(self.conv(x))) * self.gate(x)
        return y


class Votes(nn.Module):
    """Binary layers whose sums are stacked in front of the batch, limited per channel, and counted."""

    def __init__(self) -> None:
        super().__init__()
        self.paths, self.norm = (
            nn.ModuleList([Binary(32, 32, 3, padding=1, bias=False) for _ in range(3)]),
            nn.BatchNorm2d(32),
        )
        self.limit = nn.Parameter(torch.rand(1, 32, 1, 1) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(torch.stack([path(x) for path in self.paths]).sum(0))
        y = torch.max(torch.min(y, self.limit), -self.limit)
        scale = torch.einsum("nchw,c->nchw", y, self.limit.flatten())
        return scale + (y > 0).sum(1, keepdim=True) / 32


def image_network(*middle: nn.Module, channels: int = 32) -> nn.Module:
    tail = (nn.BatchNorm2d(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return nn.Sequential(nn.Conv2d(3, 32, 3, 1, 1), nn.BatchNorm2d(32), *middle, *tail)


IMAGE, SEQUENCE = (3, 12, 12), (8, 40)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "two-point sets": (lambda: image_network(AdaBin(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.PReLU(32), AdaBin(32, 32, 1)), IMAGE),
    "two-point sets, groups": (lambda: image_network(AdaBin(32, 64, 3, padding=1, stride=2, groups=2), channels=64), IMAGE),
    "zeros and ones": (lambda: image_network(ZeroOne(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), ZeroOne(32, 32, 3, 2, 1)), IMAGE),
    "two-level dense": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(432, 64), nn.BatchNorm1d(64), TwoLevelDense(64, 33), nn.Linear(33, 10)),
        IMAGE,
    ),
    "ternary": (lambda: image_network(Ternary(32, 32, 3, 1, 1, bias=False)), IMAGE),
    "ternary activations": (
        lambda: image_network(TernaryActivations(32, 32, 3, 1, 1), nn.BatchNorm2d(32), TernaryActivations(32, 32, 1)), IMAGE
    ),
    "two bits": (lambda: image_network(TwoBits(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), TwoBits(32, 32, 3, 2)), IMAGE),
    "scales by position": (lambda: image_network(Placed(32, 12), nn.BatchNorm2d(32), Placed(32, 12)), IMAGE),
    "averages": (lambda: image_network(nn.AvgPool2d(3, 2, 1, count_include_pad=False), Binary(32, 32, 3, padding=1)), IMAGE),
    "uneven padding": (lambda: image_network(SameAsTensorFlow(32, 32, 3, 2), nn.BatchNorm2d(32), SameAsTensorFlow(32, 32, 2)), IMAGE),
    "small groups": (
        lambda: image_network(
            Binary(32, 32, 3, 1, 1, groups=4), nn.BatchNorm2d(32), nn.ChannelShuffle(4), Binary(32, 32, 3, 2, 1, groups=8),
            nn.BatchNorm2d(32), Binary(32, 32, 1, groups=2), nn.BatchNorm2d(32), nn.PReLU(32), Binary(32, 32, 3, padding=1, groups=32),
        ),
        IMAGE,
    ),
    "transposed": (
        lambda: image_network(
            Binary(32, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ConvTranspose2d(32, 32, (3, 2), (2, 1), (1, 0), groups=4),
            nn.ConvTranspose2d(32, 32, 3, 2, dilation=2), Binary(32, 32, 3),
        ),
        IMAGE,
    ),
    "votes": (lambda: image_network(Votes()), IMAGE),
    "gates": (lambda: image_network(Gated(), Gated()), IMAGE),
    "sequence": (
        lambda: nn.Sequential(
            nn.Conv1d(8, 32, 5), nn.BatchNorm1d(32), BinaryConv1d(32, 32, 3, padding=1), nn.BatchNorm1d(32), nn.PReLU(32), nn.MaxPool1d(2),
            nn.ConvTranspose1d(32, 32, 4, 2, groups=2),
            BinaryConv1d(32, 32, 3, 2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 10), nn.LogSoftmax(1),
        ),
        SEQUENCE,
    ),
    "tokens": (Tokens, IMAGE),
    "up and down": (
        lambda: image_network(
            Binary(32, 32, 3, 2, 1), nn.BatchNorm2d(32), nn.ConvTranspose2d(32, 32, 4, 2, 1), Binary(32, 32, 3, 2, 1), nn.BatchNorm2d(32),
            nn.Upsample(scale_factor=2, mode="bilinear"), Binary(32, 32, 3),
        ),
        IMAGE,
    ),
}  # fmt: skip


def everything_of(net: nn.Module) -> dict[str, object]:
    """Values, attributes, hooks, modes and classes of a network and its modules."""
    found: dict[str, object] = {name: tensor.numpy().tobytes() for name, tensor in net.state_dict().items()}
    for path, module in net.named_modules():
        found[f"{path}:class"] = type(module)
        found |= {f"{path}:{name}": repr(value) for name, value in vars(module).items()}
    return found


@pytest.mark.parametrize("kernels", ["standard", "packed"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_exported_proved_and_equal_everywhere(name: str, kernels: Any, tmp_path: Path) -> None:
    make, shape = NETWORKS[name]
    torch.manual_seed(0)
    net = make()
    for _ in range(4):
        net(torch.randn(16, *shape))
    before = everything_of(net.eval())
    report = fdabnn_deploy.export(
        net, torch.zeros(1, *shape), targets="all" if kernels == "standard" else "onnx", out=tmp_path, samples="random:16",
        input_range=(-4, 4), name="net", kernels=kernels,
    )  # fmt: skip
    assert everything_of(net) == before
    assert report.verified
    assert any(layer.binary_layers for layer in report.coverage)
    assert all(layer.binary_layers for layer in report.coverage if layer.expected)
    assert report.truth.agreement.same == report.truth.agreement.images
