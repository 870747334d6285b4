"""Networks that this project did not write, through both targets, against their own forward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fdabnn_deploy
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.pipeline.export import export
from fdabnn_deploy.runtimes import registry


class FlatConv(nn.Module):
    """As Bi-Real: weights in one column, bare `torch.sign`, scale per output channel."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.shape = (outputs, inputs, 3, 3)
        self.stride = stride
        self.weights = nn.Parameter(torch.randn(outputs * inputs * 9, 1) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        real = self.weights.view(self.shape)
        scale = real.abs().mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(torch.sign(x), scale * torch.sign(real), stride=self.stride, padding=1)


class FlatNet(nn.Module):
    """Convolution, BN, shortcut, PReLU per channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 1, 1)
        self.conv1, self.bn1, self.act1 = FlatConv(32, 32), nn.BatchNorm2d(32), nn.PReLU(32)
        self.conv2, self.bn2 = FlatConv(32, 64, 2), nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.act1(self.bn1(self.conv1(x)) + x)
        x = self.bn2(self.conv2(x))
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


class WhereSign(torch.autograd.Function):
    """A sign with an estimator of its own behind it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, torch.ones_like(x), -torch.ones_like(x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        passed: Tensor = grads[0] * (x.abs() <= 1).float()
        return passed


def where_sign(x: Tensor) -> Tensor:
    out: Tensor = WhereSign.apply(x)  # type: ignore[no-untyped-call]
    return out


class WhereNet(nn.Module):
    """As XNOR-Net: BN, sign, convolution, max pooling; a binary dense layer behind a flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn0 = nn.Conv2d(3, 32, 5, 1, 2), nn.BatchNorm2d(32)
        self.conv1, self.bn1 = nn.Conv2d(32, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64)
        self.fc1, self.bn3 = nn.Linear(64 * 4 * 4, 64, bias=False), nn.BatchNorm1d(64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardtanh(self.bn0(self.stem(x)))
        x = F.max_pool2d(F.conv2d(where_sign(x), where_sign(self.conv1.weight), padding=1), 2)
        x = F.hardtanh(self.bn1(x))
        x = self.bn2(F.conv2d(where_sign(x), where_sign(self.conv2.weight), stride=2, padding=1))
        x = self.bn3(F.linear(where_sign(x.flatten(1)), where_sign(self.fc1.weight)))
        logits: Tensor = self.fc2(x)
        return logits


class PoolShortcutNet(nn.Module):
    """As ReActNet's ResNet: learned shifts, a shortcut per convolution, AvgPool and a 1x1 convolution where sizes change."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 1, 1)
        self.move = nn.Parameter(torch.randn(1, 32, 1, 1) * 0.2)
        self.conv1, self.bn1 = FlatConv(32, 32), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = FlatConv(32, 64, 2), nn.BatchNorm2d(64)
        self.down = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(32, 64, 1, bias=False), nn.BatchNorm2d(64))
        self.act = nn.PReLU()
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.bn1(self.conv1(x + self.move)) + x
        x = self.act(self.bn2(self.conv2(x)) + self.down(x))
        logits: Tensor = self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits


NETWORKS: dict[str, tuple[type[nn.Module], list[str]]] = {
    "flat weights": (FlatNet, ["conv1", "conv2"]),
    "autograd function": (WhereNet, ["conv1", "conv2", "fc1"]),
    "pooled shortcut": (PoolShortcutNet, ["conv1", "conv2"]),
}


def drawn_images(count: int) -> FloatArray:
    """Seeded, of clearly different colours."""
    random = np.random.default_rng(0)
    colours = random.normal(0, 1, (count, 3, 1, 1))
    return (colours + random.normal(0, 1, (count, 3, 16, 16))).astype(np.float32)


def trained(kind: type[nn.Module]) -> nn.Module:
    """In eval mode, with statistics unlike those of a fresh network, and every class decided for at times."""
    torch.manual_seed(3)
    network = kind()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
                layer.weight.normal_(0.7, 0.6)
                layer.bias.normal_(0, 0.3)
                assert layer.running_mean is not None
                assert layer.running_var is not None
                layer.running_mean.normal_(0, 1)
                layer.running_var.uniform_(0.5, 4)
    network.eval()
    with torch.no_grad():
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
        last.bias.sub_(network(torch.from_numpy(drawn_images(64))).mean(dim=0))
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_both_targets_compute_what_the_module_computes(tmp_path: Path, name: str) -> None:
    kind, binary = NETWORKS[name]
    network = trained(kind)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    images = drawn_images(64)
    report = fdabnn_deploy.export(
        network, torch.zeros(1, 3, 16, 16), out=tmp_path, samples=images, name="net"
    )
    assert [layer.module for layer in report.coverage if layer.one_bit] == binary
    assert [layer.module for layer in report.coverage if layer.expected] == binary
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    assert len(np.unique(expected.argmax(axis=1))) > 1
    for artifact in report.artifacts:
        path = Path(artifact.path)
        (computed,) = registry.for_file(path).open(path).run([images])
        assert np.mean(computed.argmax(axis=1) == expected.argmax(axis=1)) >= 0.995
        # A bit that flips on a rounding moves a logit visibly; nearly all images have none.
        close = np.isclose(computed, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max()).all(axis=1)
        assert close.mean() > 0.9


def test_zeros_at_signs_are_counted_and_reported(tmp_path: Path) -> None:
    """A stem whose ReLU makes zeros: `torch.sign` gives 0 there, the exported sign +1."""

    class Zeros(FlatNet):
        def forward(self, x: Tensor) -> Tensor:
            x = self.bn2(self.conv2(self.bn1(self.conv1(F.relu(self.stem(x))))))
            logits: Tensor = self.fc(x.mean(dim=(2, 3)))
            return logits

    images = drawn_images(16)
    try:
        report = export(
            trained(Zeros), torch.zeros(1, 3, 16, 16), targets="onnx", out=tmp_path, samples=images
        )
    except fdabnn_deploy.ParityError as error:
        report = error.report  # type: ignore[attr-defined]
    assert sum(report.sign_zeros.zeros.values()) > 1000
    assert report.sign_zeros.max_abs > 0
