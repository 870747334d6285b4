from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_deploy.capture import capture
from fdabnn_deploy.deploy import deploy
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.graph import Graph
from fdabnn_deploy.moved_zeros import check_zeros, moved_zeros
from fdabnn_deploy.numerics.exact import make_exact
from fdabnn_deploy.ops import FloatArray


class Network(nn.Module):
    """A sign behind a ReLU, and one behind an average of integers."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        self.first, self.second = (nn.Parameter(torch.randn(4, 4, 3, 3)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv2d(torch.sign(F.avg_pool2d(torch.relu(x), self.window)), torch.sign(self.first), None, 1, 1)
        return F.conv2d(torch.sign(F.avg_pool2d(y, 3, 1, 1)), torch.sign(self.second), None, 1, 1)


def graphs(images: FloatArray, window: int = 3) -> tuple[Graph, Graph]:
    torch.manual_seed(0)
    graph = deploy(capture(Network(window).eval(), images.shape[1:]), sign_zero="exact").graph
    return graph, make_exact(graph, [images]).graph


def images(small: float) -> FloatArray:
    """Mostly small numbers, and a few large ones that take the bits."""
    rng = np.random.default_rng(0)
    x = (small * rng.normal(size=(4, 4, 12, 12))).astype(np.float32)
    x[:, :, 0, 0] = 100
    return x


def test_zeros_that_a_grid_keeps() -> None:
    x = images(1.0)
    graph, exact = graphs(x)
    found = moved_zeros(graph, exact, x)
    assert len(found) == 2
    # A ReLU leaves windows of zeros only now and then; the integers of the second sign are exact.
    assert [sign.moved for sign in found] == [0, 0]
    check_zeros(graph, exact, x)


def test_zeros_that_a_grid_makes_are_refused_with_the_reason() -> None:
    x = images(1e-6)
    graph, exact = graphs(x)
    first, second = moved_zeros(graph, exact, x)
    assert first.moved > 100
    # Judged on the signs that the float graph has in front of it.
    assert second.moved == 0
    with pytest.raises(
        ModelRefusedError, match=r"\d+ of \d+ values at the sign in module 'model'.*multiples of 2\^-\d+"
    ):
        check_zeros(graph, exact, x)


def test_graphs_without_such_signs() -> None:
    x = images(1.0)
    torch.manual_seed(0)
    graph = deploy(capture(Network(3).eval(), x.shape[1:])).graph
    assert moved_zeros(graph, make_exact(graph, [x]).graph, x) == []
