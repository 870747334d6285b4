"""The remedies in the messages are code that works: the rewritten network deploys, and computes the same where it says so."""

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
from fdabnn_deploy.frontend.lint.remedies import GENERAL, remedy_for
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.deploy import deploy

SHAPE = (8, 6, 6)
KERNEL = torch.randn(8, 8, 3, generator=torch.Generator().manual_seed(0))
UP = torch.randn(8, 3, 2, 2, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A convolution, and behind it a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(8, 8, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


def unshuffled(y: Tensor, r: int = 2) -> Tensor:
    n, c, h, w = y.shape
    h, w = h // r, w // r
    return y.view(n, c, h, r, w, r).permute(0, 1, 3, 5, 2, 4).reshape(n, c * r * r, h, w)


def transposed(y: Tensor) -> Tensor:
    return F.pixel_shuffle(F.conv2d(y, UP.permute(1, 2, 3, 0).reshape(12, 8, 1, 1)), 2)


SAME: list[tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
    ("round", lambda y: torch.round(torch.clamp(y, 0, 1)) * 2 - 1, lambda y: (y > 0.5).float() * 2 - 1),
    ("floor", lambda y: torch.floor(torch.clamp(y, 0, 1)) * 2 - 1, lambda y: (y >= 1).float() * 2 - 1),
    ("ceil", lambda y: torch.ceil(torch.clamp(y, 0, 1)) * 2 - 1, lambda y: (y > 0).float() * 2 - 1),
    ("pixel_unshuffle", lambda y: F.pixel_unshuffle(y, 2), unshuffled),
    ("conv_transpose2d", lambda y: F.conv_transpose2d(y, UP, stride=2), transposed),
    ("conv1d", lambda y: F.conv1d(y.flatten(2), KERNEL), lambda y: F.conv2d(y.flatten(2).unsqueeze(2), KERNEL[:, :, None]).squeeze(2)),
    ("max_pool1d", lambda y: F.max_pool1d(y.flatten(2), 3), lambda y: F.max_pool2d(y.flatten(2).unsqueeze(2), (1, 3)).squeeze(2)),
    ("avg_pool1d", lambda y: F.avg_pool1d(y.flatten(2), 4), lambda y: F.avg_pool2d(y.flatten(2).unsqueeze(2), (1, 4)).squeeze(2)),
    ("max", lambda y: y.flatten(2).max(2)[0], lambda y: F.max_pool2d(y.flatten(2).unsqueeze(-1), (36, 1)).flatten(1)),
    ("amax", lambda y: y.flatten(2).amax(2), lambda y: F.max_pool2d(y.flatten(2).unsqueeze(-1), (36, 1)).flatten(1)),
    ("adaptive_max_pool2d", lambda y: F.adaptive_max_pool2d(y, 1), lambda y: F.max_pool2d(y, (y.shape[2], y.shape[3]))),
    ("hardsigmoid", F.hardsigmoid, lambda y: torch.clamp(y / 6 + 0.5, 0, 1)),
]  # fmt: skip

NEAR: list[tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
    ("round", torch.round, lambda y: torch.clamp(y, -4, 4)),
    ("sigmoid", torch.sigmoid, lambda y: torch.clamp(y / 6 + 0.5, 0, 1)),
    ("tanh", torch.tanh, F.hardtanh),
    ("gelu", F.gelu, F.relu),
    ("hardswish", F.hardswish, F.relu),
    ("elu", F.elu, lambda y: F.leaky_relu(y, 0.1)),
    ("upsample_bilinear2d", lambda y: F.interpolate(y, scale_factor=2, mode="bilinear"), lambda y: F.interpolate(y, scale_factor=2)),
]  # fmt: skip


def deployed(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs of the network, and of its exact graph."""
    net = Net(function).eval()
    graph = make_exact(deploy(capture(net, SHAPE), exact=True).graph, [x.numpy()]).graph
    with torch.no_grad():
        return net(x), torch.from_numpy(np.asarray(evaluate(graph, [x.numpy()])[0]))


@pytest.mark.parametrize(
    ("name", "before", "after"), [*SAME, *NEAR], ids=lambda value: value if isinstance(value, str) else ""
)
def test_the_operator_is_refused_with_its_remedy_and_the_remedy_deploys(
    name: str, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]
) -> None:
    x = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(3))
    net = Net(before).eval()
    with pytest.raises(ModelRefusedError) as error:
        deploy(capture(net, SHAPE), exact=True)
    assert f"'{name}'" in str(error.value)
    assert remedy_for(name) in str(error.value)
    assert remedy_for(name) != GENERAL
    computed, exact = deployed(after, x)
    torch.testing.assert_close(exact, computed, rtol=0, atol=1e-2)  # the grids of exact sums
    if (name, before, after) in SAME:
        with torch.no_grad():
            torch.testing.assert_close(computed, net(x))
