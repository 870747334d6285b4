from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.verify.gate.few_images import MOST_IMAGES
from fdabnn_deploy.verify.gate.gate_testing import SHAPE, images, trained
from fdabnn_deploy.verify.gate.same_capture import check_capture, distance


class Behind(nn.Module):
    """A trained network, and something behind it."""

    def __init__(self, what: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.what = trained(), what

    def forward(self, x: Tensor) -> Tensor:
        return self.what(self.net(x))


class Counting(nn.Module):
    """Adds how often it was called, and counts that where no capture looks."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.calls = trained(), [0]

    def forward(self, x: Tensor) -> Tensor:
        self.calls[0] += 1
        logits: Tensor = self.net(x) + self.calls[0]
        return logits


@pytest.mark.parametrize("count", [1, 5, 50])
def test_a_capture_is_the_module(count: int) -> None:
    network = trained()
    check_capture(network, capture(network, SHAPE), images(count))


UNLIKE: list[Callable[[Tensor], Tensor]] = [
    lambda y: y if torch.compiler.is_compiling() else y.flip(1) * 2 + 3,
    lambda y: y if torch.compiler.is_compiling() else 1.01 * y,
    lambda y: y + (0.0 if torch.compiler.is_exporting() else 0.1),
    lambda y: y if torch.compiler.is_compiling() else y * math.nan,
    lambda y: y if torch.compiler.is_compiling() else y[:, :5],
    lambda y: 0 * y + (1.0 if torch.compiler.is_compiling() else 0.0),
]


@pytest.mark.parametrize("what", UNLIKE)
def test_a_branch_on_being_traced_is_refused(what: Callable[[Tensor], Tensor]) -> None:
    network = Behind(what).eval()
    with pytest.raises(ModelRefusedError, match=r"something else while it is traced.*is_compiling"):
        check_capture(network, capture(network, SHAPE), images(MOST_IMAGES))


def test_a_state_in_python_is_refused() -> None:
    network = Counting().eval()
    with pytest.raises(ModelRefusedError, match="keeps a state between calls"):
        check_capture(network, capture(network, SHAPE), images(4))


def test_roundings_of_another_order_pass() -> None:
    network = Behind(lambda y: y if torch.compiler.is_compiling() else (y * 3) / 3 + 1e-6).eval()
    check_capture(network, capture(network, SHAPE), images(4))


def test_distances_are_relative_to_the_range() -> None:
    a = np.array([[0.0, 4.0], [np.inf, np.nan]], np.float32)
    b = a.copy()
    assert distance(a, b) == (0.0, 0.0)
    b[0, 0] = 1.0
    assert distance(a, b) == (0.25, 0.125)
    b[1, 0] = -np.inf
    assert distance(a, b) == (np.inf, np.inf)
    assert distance(a, a[:1]) == (np.inf, np.inf)
    zeros = np.zeros((2, 2), np.float32)
    assert distance(zeros, zeros) == (0.0, 0.0)
    assert distance(zeros, zeros + 1) == (np.inf, np.inf)
    assert distance(zeros + 2, zeros + 1) == (0.5, 0.5)
