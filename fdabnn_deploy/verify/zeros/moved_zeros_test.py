from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_deploy.verify.zeros.moved_zeros import check_zeros, moved_zeros


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


class InFront(nn.Module):
    """A binary layer behind a sign of something."""

    def __init__(self, spell: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.spell = spell
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(torch.sign(self.spell(x)), torch.sign(self.weight), None, 1, 1)


EDGES = torch.tensor([[1.3, 0.7, 0.4], [0.0, 0.0, 0.0], [-1.3, -0.7, -0.4]]).expand(4, 1, 3, 3)

LOST: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "offset": (lambda x: x - 0.3, "'input' is 0.3"),
    "scale and offset": (lambda x: x * 0.3 - 0.1, "'input' is 0.3333333"),
    "negative": (lambda x: 0.3 - x, "'input' is 0.3"),
    "one channel": (lambda x: x - torch.tensor([0.0, 0.5, 0.3, 0.25]).view(1, 4, 1, 1), "'input' is 0.3"),
    "maximum": (lambda x: F.max_pool2d(x, 2) - 0.3, "'input' is 0.3"),
    "clamp": (lambda x: torch.clamp(x, -1, 1) - 0.3, "'input' is 0.3"),
}

KEPT: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda x: x,
    "scale": lambda x: 0.7 * x,
    "a value of the grid": lambda x: x - 0.5,
    "a value of the grid, scaled": lambda x: 0.5 * x - 0.25,
    # In float32 no value times 0.7 is 0.21.
    "never 0": lambda x: 0.7 * x - 0.21,
    "beyond the limits": lambda x: x - 1000.1,
    "ReLU": torch.relu,
    "ReLU of an offset": lambda x: torch.relu(x - 0.3),
    "padding": lambda x: F.pad(x, (1, 1, 1, 1)),
    "pooled": lambda x: F.avg_pool2d(torch.relu(x), 3, 1, 1),
    "two tensors": lambda x: x[:, :, 1:] - x[:, :, :-1],
}


def in_front(spell: Callable[[Tensor], Tensor]) -> tuple[Graph, Graph, FloatArray]:
    x = images(1.0)
    torch.manual_seed(0)
    graph = deploy(capture(InFront(spell).eval(), x.shape[1:]), sign_zero="exact").graph
    return graph, make_exact(graph, [x]).graph, x


@pytest.mark.parametrize("name", LOST)
def test_a_zero_at_a_value_that_no_grid_holds_is_refused_whatever_the_samples(name: str) -> None:
    spell, where = LOST[name]
    graph, exact, x = in_front(spell)
    assert all(sign.moved <= 1 for sign in moved_zeros(graph, exact, x))
    with pytest.raises(ModelRefusedError, match=f"{where}.*multiples of 2\\^-\\d+ for input"):
        check_zeros(graph, exact, x)


@pytest.mark.parametrize("name", KEPT)
def test_zeros_that_rounding_keeps(name: str) -> None:
    check_zeros(*in_front(KEPT[name]))


def test_a_filter_whose_weights_cancel_is_tried_on_even_images() -> None:
    graph, exact, x = in_front(lambda x: F.conv2d(x, EDGES, groups=4))
    assert all(sign.moved <= 1 for sign in moved_zeros(graph, exact, x))
    with pytest.raises(ModelRefusedError, match="in images of one value"):
        check_zeros(graph, exact, x)


def test_graphs_without_such_signs() -> None:
    x = images(1.0)
    torch.manual_seed(0)
    graph = deploy(capture(Network(3).eval(), x.shape[1:])).graph
    assert moved_zeros(graph, make_exact(graph, [x]).graph, x) == []
