"""Comparisons, casts, masks and constants in the shape of activations, as PyTorch code writes them, against PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.deploy import deploy

SHAPE = (3, 4, 4)
VALUES = [-2, -1, -0.5, -0.25, -0.0, 0, 0.1, 0.25, 0.5, 1, 3, 1e-30, -1e-30]


class Spelled(nn.Module):
    bias: Tensor
    limit: Tensor

    def __init__(self, spell: Callable[[Tensor, nn.Module], Tensor]) -> None:
        super().__init__()
        self.spell = spell
        self.bias = nn.Parameter(torch.tensor([0.5, -1, 0.25]).view(1, 3, 1, 1))
        self.register_buffer("limit", torch.full((1, 3, 1, 1), 0.1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.spell(x, self)


Spelling = Callable[[Tensor, Spelled], Tensor]

SAME: dict[str, Spelling] = {
    "cast to int": lambda x, m: ((x > 0).int() * 2 - 1).float(),
    "cast to int8": lambda x, m: ((x > 0).to(torch.int8) * 2 - 1).float(),
    "cast of a sign": lambda x, m: (torch.sign(torch.sign(x) + 0.5)).long().float(),
    "through float64": lambda x, m: (x >= 0).double().float(),
    "through float16": lambda x, m: ((x >= 0).half() * 2 - 1).float(),
    "to bool": lambda x, m: (x > 0).float().bool().float(),
    "bool of numbers": lambda x, m: x.bool().float(),
    "not of numbers": lambda x, m: torch.logical_not(x).float(),
    "and of numbers": lambda x, m: torch.logical_and(x, x > 0).float(),
    "or by plus": lambda x, m: ((x > 0) + (x == 0)).float(),
    "and by times": lambda x, m: ((x > 0) * (x < 1)).float(),
    "number 0.1": lambda x, m: (x > 0.1).float(),
    "number 0.1, not strict": lambda x, m: (x >= 0.1).float(),
    "float64 buffer": lambda x, m: (x > m.limit).float(),
    "float64 buffer, not strict": lambda x, m: (x >= m.limit).float(),
    "float64 buffer on the left": lambda x, m: (m.limit < x).float() + (m.limit <= x).float(),
    "expanded bias": lambda x, m: x + m.bias.expand_as(x),
    "expanded to sizes": lambda x, m: x * m.bias.expand(x.shape[0], 3, 4, 4),
    "broadcast bias": lambda x, m: x - torch.broadcast_to(m.bias, x.shape),
    "repeated bias": lambda x, m: x + m.bias.repeat(x.shape[0], 1, 4, 4),
    "tiled bias": lambda x, m: x + torch.tile(m.bias, (1, 1, 4, 4)),
    "expanded threshold": lambda x, m: (x > m.bias.expand_as(x)).float(),
    "assigned": lambda x, m: torch.sign(x).masked_fill(torch.sign(x) == 0, -1.0),
    "maximum by hand": lambda x, m: torch.where(x > m.bias, x, m.bias.expand_as(x)),
}


@pytest.mark.parametrize("name", SAME)
def test_values_are_those_of_the_module(name: str) -> None:
    module = Spelled(SAME[name]).eval()  # type: ignore[arg-type]
    x = np.random.default_rng(0).choice(np.array(VALUES, dtype=np.float32), size=(6, *SHAPE))
    graph = deploy(capture(module, SHAPE)).graph
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(evaluate(graph, [x])[0] + 0.0, expected + 0.0)


def partly(x: Tensor, m: Spelled) -> Tensor:
    y = x.clone()
    y[:, 0] = 1
    return y


def other_values(x: Tensor, m: Spelled) -> Tensor:
    y = torch.zeros_like(x)
    y[x > 0] = m.bias.expand_as(x)[x > 0]
    return y


REFUSED: dict[str, tuple[Spelling, str]] = {
    "overflow": (lambda x, m: ((x > 0).byte() * 2 - 1).float(), "may overflow torch.uint8"),
    "truncation": (lambda x, m: x.int().float(), "conversion to torch.int32"),
    "bits of integers": (lambda x, m: ((x > 0).int() & 1).float(), "bits of integers"),
    "float64": (lambda x, m: (x.double() * 0.1).float(), "torch.float64"),
    "equal to float64": (lambda x, m: (x == m.limit).float(), "equality"),
    "enlarged": (lambda x, m: x[:, :, :1, :1] * torch.ones_like(x), "expanding an activation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_values_is_refused(name: str) -> None:
    spell, why = REFUSED[name]
    with pytest.raises(ModelRefusedError, match=why):
        deploy(capture(Spelled(spell).eval(), SHAPE))  # type: ignore[arg-type]
