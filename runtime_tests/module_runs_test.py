"""What a module's forward does to its input, and what it returns, from export() to the finished files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdabnn_deploy.comparison import compare_models
from fdabnn_deploy.pipeline import export

Step = Callable[[Tensor], Tensor]


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


class Net(nn.Module):
    """A binary convolution and a classifier, with a step of the user's in front and one behind."""

    def __init__(self, before: Step = lambda x: x, after: Step = lambda y: y) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(8, 8, 3, 3))
        self.fc = nn.Linear(8, 10)
        self.before, self.after = before, after
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(sign(self.before(x)), sign(self.weight), padding=1)
        return self.after(self.fc(x.mean((2, 3)) / 8))


def inputs(count: int = 8) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).normal(size=(count, 8, 8, 8)).astype(np.float32)


def digest(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


def scaled(x: Tensor) -> Tensor:
    x.mul_(0.5)
    x.sub_(0.25)
    return x


def through_a_view(x: Tensor) -> Tensor:
    x.flatten(1).add_(0.5)
    return x


def augmented(x: Tensor) -> Tensor:
    x += 0.25
    return x


WRITERS = [scaled, through_a_view, augmented, lambda x: F.hardtanh(x, -1, 1, inplace=True) - 0.5]


@pytest.mark.parametrize("before", WRITERS)
def test_a_module_that_writes_into_its_input_leaves_the_callers_alone(before: Step, tmp_path: Path) -> None:
    samples, example = inputs(), torch.full((1, 8, 8, 8), 0.75)
    was = digest(samples), digest(example.numpy())
    net = Net(before)
    done = export(net, example, targets=["onnx", "tflite"], out=tmp_path, samples=samples)
    assert done.verdict == "verified"
    assert (digest(samples), digest(example.numpy())) == was
    compare_models(net, done.artifacts[0].path, samples)
    assert digest(samples) == was[0]
