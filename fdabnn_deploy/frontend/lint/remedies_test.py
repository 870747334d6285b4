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


class Net(nn.Module):
    """A convolution, and behind it a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(8, 8, 1)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.conv(x))


SAME: list[tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
    ("floor", lambda y: torch.floor(torch.clamp(y, 0, 1)) * 2 - 1, lambda y: (y >= 1).float() * 2 - 1),
    ("ceil", lambda y: torch.ceil(torch.clamp(y, 0, 1)) * 2 - 1, lambda y: (y > 0).float() * 2 - 1),
]  # fmt: skip

NEAR: list[tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
    ("mish", F.mish, F.relu),
    ("softplus", F.softplus, F.relu),
    ("sin", torch.sin, F.hardtanh),
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
