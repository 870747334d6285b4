from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.deploy import deploy


def assert_same(module: nn.Module, shape: tuple[int, ...], seed: int = 0) -> None:
    """The captured graph computes what the module computes (float sums differ in their last bits)."""
    torch.manual_seed(seed)
    captured = capture(module.eval(), shape)
    x = torch.randn(3, *shape)
    with torch.no_grad():
        expected = module(x).numpy()
    np.testing.assert_allclose(evaluate(captured.graph, [x.numpy()])[0], expected, rtol=1e-5, atol=1e-5)


class Everything(nn.Module):
    """Uses most functions a binary network is written with."""

    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding="same")
        self.bn = nn.BatchNorm2d(8)
        self.prelu = nn.PReLU(8)
        self.register_buffer("shift", torch.randn(1, 8, 1, 1))
        self.fc = nn.Linear(8 * 4, 5)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn(self.stem(x)))
        y = self.relu(x - 0.5)
        y += F.hardtanh(x) * 2 + F.leaky_relu(x, 0.1) / 4 + F.relu6(x) + x.clamp(min=-0.25)
        y = y + self.shift.expand_as(y) + (1 - torch.tanh(x)) + torch.maximum(x, -y)
        y = torch.where(x > 0, y, torch.zeros_like(y)) + (x >= 0.5).float() * 2 - 1 + x.abs() + torch.sign(x)
        a, b = y.chunk(2, dim=1)
        y = torch.cat([b, a], 1) + F.pad(a, (0, 0, 0, 0, 2, 2))
        y = F.max_pool2d(y, 3, 2, 0, ceil_mode=True) + F.avg_pool2d(
            y, 2, 2, 0, ceil_mode=True, count_include_pad=False
        )
        y = y[:, :, ::2, 1:4:2].permute(0, 2, 3, 1).transpose(1, 3)
        y = F.adaptive_avg_pool2d(y, (2, 2)) + y.mean([2, 3], keepdim=True)
        return F.log_softmax(self.fc(F.dropout(y.flatten(1), training=self.training)), dim=1)


def test_many_functions() -> None:
    assert_same(Everything(), (3, 8, 8))


class Shuffled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        padded = torch.cat([torch.zeros(x.shape[0], 2, *x.shape[2:]), x, x.new_ones(x.shape)], dim=1)
        return padded.view(x.size(0), -1) @ torch.linspace(-1, 1, 8 * 6).view(8 * 6, 1).expand(-1, 4)


def test_constants_of_the_batch_size() -> None:
    assert_same(Shuffled(), (3, 2, 3))


class Unsupported(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Mish())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x).mean([2, 3])
        return y


def test_unsupported_operator_is_named_with_module_and_line() -> None:
    with pytest.raises(ModelRefusedError, match=r"'mish' is not supported in module 'inner\.1'"):
        deploy(capture(Unsupported().eval(), (3, 4, 4)))


class UnsupportedHere(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x, dim=2).mean([2, 3])


def test_unsupported_operator_is_named_with_its_source() -> None:
    with pytest.raises(
        ModelRefusedError,
        match=r"'cumsum' is not supported .* at exported_program_test\.py:\d+ \(`return torch\.cumsum",
    ):
        deploy(capture(UnsupportedHere().eval(), (3, 4, 4)))


class Noisy(nn.Module):
    alpha: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("alpha", torch.zeros(()))
        self.fc = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.erf(x.movedim(1, -1)).movedim(-1, 1)
        y: Tensor = self.fc((x + self.alpha * noise).mean([2, 3]))
        return y


def test_a_dropped_branch_may_compute_anything() -> None:
    module = Noisy().eval()
    assert_same(module, (3, 4, 4))
    kinds = [node.op.kind for node in deploy(capture(module, (3, 4, 4))).graph]
    assert kinds == ["Input", "GlobalAvgPool", "Linear"]


class MixesImages(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0, keepdim=True)


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (MixesImages(), "operator 'mean' over dimensions"),
        (Branches(), "cannot be traced"),
        (nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)), "statistics of the batch"),
        (nn.Sequential(nn.ConvTranspose2d(3, 3, 2), nn.Mish()), "not supported"),
        (nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")), "padding mode 'reflect'"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(3)), "uneven windows"),
    ],
)
def test_refusals(module: nn.Module, message: str) -> None:
    with pytest.raises(ModelRefusedError, match=message):
        deploy(capture(module.eval(), (3, 8, 8)))


def test_training_mode_is_refused() -> None:
    with pytest.raises(ModelRefusedError, match=r"'bn' is in training mode; call model\.eval"):
        capture(_with_training_child(), (3, 8, 8))


def _with_training_child() -> nn.Module:
    module = Everything().eval()
    module.bn.train()
    return module


class OneScore(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score = x.flatten(1)[:, 0] * 2
        return score, x.flatten(1), score


def test_one_number_per_image_loses_its_channel_at_the_output_only() -> None:
    graph = capture(OneScore().eval(), (2, 1, 1)).graph
    first, flat, again = graph.outputs
    assert first == again
    assert graph.shape(first) == (-1,)
    assert graph.shape(flat) == (-1, 2)
    (before,) = graph[first].inputs
    assert graph.shape(before) == (-1, 1)
    images = np.arange(6, dtype=np.float32).reshape(3, 2, 1, 1)
    assert np.array_equal(evaluate(graph, [images])[0], [0, 4, 8])
