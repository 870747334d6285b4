from __future__ import annotations

import pytest
import torch
from torch import nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint.noise import (
    NoiseReport,
    drop_noise,
    fda_layer_names,
    find_noise,
    refuse_noise,
)


class NoisyLayer(nn.Module):
    """A layer with alpha, and the parts that go with it in FDA layers."""

    def __init__(self, alpha: torch.Tensor | float, *, n: bool = True, noise: bool = True) -> None:
        super().__init__()
        if isinstance(alpha, nn.Parameter | float):
            self.alpha = alpha
        else:
            self.register_buffer("alpha", alpha)
        if n:
            self.register_buffer("n", torch.tensor(9))
        if noise:
            self.weight_noise = nn.Linear(2, 1)


def test_layers_of_a_state_dict() -> None:
    network = nn.ModuleDict(
        {
            "fda": NoisyLayer(torch.tensor(0.1)),
            "no_n": NoisyLayer(torch.tensor(0.1), n=False),
            "sine_only": NoisyLayer(torch.tensor(0.1), noise=False),
            "recu": NoisyLayer(nn.Parameter(torch.ones(4)), n=False, noise=False),
        }
    )
    assert fda_layer_names(network.state_dict()) == ["fda", "no_n", "sine_only"]
    assert [layer.name for layer in find_noise(network).layers] == ["fda", "no_n", "sine_only"]


@pytest.mark.parametrize(
    "alpha",
    [torch.tensor(0.05), torch.tensor([1e-8]), nn.Parameter(torch.tensor(-0.05)), 0.05, torch.tensor(5e-40)],
)
def test_any_alpha_but_zero_is_noise(alpha: torch.Tensor | float) -> None:
    network = nn.Sequential(NoisyLayer(alpha), NoisyLayer(torch.tensor(0.0)))
    report = find_noise(network)
    assert [layer.name for layer in report.noisy] == ["0"]
    with pytest.raises(ModelRefusedError, match="1 of 2 FDA layers") as error:
        refuse_noise("a.pt", report)
    value = alpha.item() if isinstance(alpha, torch.Tensor) else alpha
    assert f"  0: alpha = {value:.6g}\n" in str(error.value)

    dropped = drop_noise(network, report)
    assert dropped == NoiseReport(report.layers, dropped=True)
    assert find_noise(network).noisy == ()


@pytest.mark.parametrize("alpha", [torch.tensor(0.0), torch.tensor(-0.0), 0.0])
def test_zero_is_binary(alpha: torch.Tensor | float) -> None:
    report = find_noise(NoisyLayer(alpha))
    assert len(report.layers) == 1
    refuse_noise("a.pt", report)
    assert not drop_noise(NoisyLayer(alpha), report).dropped


def test_many_layers_are_listed_in_part() -> None:
    network = nn.Sequential(*(NoisyLayer(torch.tensor(0.1)) for _ in range(9)))
    with pytest.raises(ModelRefusedError, match="9 of 9") as error:
        refuse_noise("a.pt", find_noise(network))
    assert "... and 3 more" in str(error.value)


def test_the_largest_of_several_alphas_counts() -> None:
    assert find_noise(NoisyLayer(torch.tensor([0.0, -0.2, 0.1]))).layers[0].alpha == pytest.approx(-0.2)
