from __future__ import annotations

import pytest
import torch

from fdabnn_models.layers.nam import NoiseAdaptation


@pytest.mark.parametrize(("features", "hidden"), [(1, 1), (16, 1), (64, 1), (127, 1), (128, 2), (576, 9)])
def test_hidden_width_is_a_64th_but_never_empty(features: int, hidden: int) -> None:
    module = NoiseAdaptation(features)
    assert module.fc1.weight.shape == (hidden, features)
    assert module.fc2.weight.shape == (features, hidden)
    assert len(list(module.parameters())) == 2


@pytest.mark.parametrize("features", [5, 64, 200])
def test_value_and_gradients_are_those_of_the_formula(features: int) -> None:
    torch.manual_seed(1)
    module = NoiseAdaptation(features).double()
    t = torch.randn(3, 4, features, dtype=torch.float64, requires_grad=True)
    w1, w2 = module.fc1.weight, module.fc2.weight
    expected = torch.clamp(t @ w1.T, min=0) @ w2.T + 0.1 * torch.sin(t)
    got = module(t)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    upstream = torch.randn_like(got)
    wanted = torch.autograd.grad(expected, (t, w1, w2), upstream)
    for mine, theirs in zip(torch.autograd.grad(got, (t, w1, w2), upstream), wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)
