from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.ops import Add, Affine, Sign, Sub
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_deploy.transforms.pass_testing import Build
from fdabnn_deploy.transforms.signs.sign_sum import sign_sum


def line(scale: float, offset: float) -> Affine:
    return Affine(np.full(3, scale), np.full(3, offset))


@pytest.mark.parametrize(("first", "second", "factors", "scale"), [
    (line(0.5, 0.5), line(0.5, 0.5), [1, -1], 0.5),
    (line(-0.25, 1.0), line(1.0, 0.0), [-1, -4], 0.25),
    (line(0.1, 0.0), line(0.3, 0.0), None, None),
    (Affine(np.array([1.0, 2.0, 1.0]), np.zeros(3)), line(1.0, 0.0), None, None),
])  # fmt: skip
def test_sums_of_two_signs(
    first: Affine, second: Affine, factors: list[int] | None, scale: float | None
) -> None:
    b = Build(3, 2, 2)
    signs = [b(Sign(), b(line(1.0, offset), "x")) for offset in (0.3, -0.3)]
    graph = b.graph(b(Sub(), *(b(op, sign) for op, sign in zip((first, second), signs, strict=True))))
    found = sign_sum(graph, graph[graph.outputs[0]])
    if factors is None:
        assert found is None
        return
    assert found is not None
    assert [factor for _, factor in found.terms] == factors
    assert found.scale == scale
    assert found.offset == first.offset[0] - second.offset[0]


def test_one_sign_and_other_values_are_none() -> None:
    b = Build(3, 2, 2)
    sign = b(Sign(), "x")
    graph = b.graph(b(Add(), sign, sign), b(Add(), sign, "x"), b(Sub(), sign, sign))
    assert [sign_sum(graph, graph[name]) for name in graph.outputs] == [None, None, None]


class Ternary(nn.Module):
    """Activations of -1, 0 and +1 by two thresholds, in front of binary or ternary weights."""

    def __init__(self, zeros: bool, groups: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.zeros, self.groups = nn.Parameter(torch.randn(8, 4 // groups, 3, 3)), zeros, groups

    def forward(self, x: Tensor) -> Tensor:
        x = (x > 0.4).float() - (x < -0.3).float()
        weight = torch.sign(self.weight)
        weight = weight * (self.weight.abs() > 0.5) if self.zeros else weight
        return F.conv2d(x, weight, None, 2, 1, 1, self.groups)


@pytest.mark.parametrize(("zeros", "groups", "layers"), [(False, 1, 2), (True, 1, 4), (False, 2, 2)])
def test_ternary_activations_become_a_binary_layer_for_each_sign(
    zeros: bool, groups: int, layers: int
) -> None:
    module = Ternary(zeros, groups).eval()
    deployed = deploy(capture(module, (4, 6, 5)), exact=True)
    (layer,) = deployed.coverage
    assert layer.expected
    assert layer.binary_layers == layers
    assert layer.why == f"its input is a sum of 2 signs: {layers} binary layers"
    x = torch.randn(3, 4, 6, 5)
    (found,) = evaluate(deployed.graph, [x.numpy()])
    with torch.no_grad():
        np.testing.assert_array_equal(found, module(x).numpy())
