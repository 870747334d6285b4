from __future__ import annotations

import pytest
import torch
from torch import nn

from fdabnn_models.layers.binary import FDAConv2d, FDALinear
from fdabnn_models.training.schedules import alpha_at, learning_rate_at, series_length_at, set_epoch


@pytest.mark.parametrize("epochs", [1, 2, 3, 40, 43, 400])
def test_alpha_falls_to_exactly_zero(epochs: int) -> None:
    values = [alpha_at(epoch, epochs) for epoch in range(epochs)]
    assert values[-1] == 0.0
    assert all(value > 0 for value in values[:-1])
    assert values == sorted(values, reverse=True)
    assert max(values) < 0.1


@pytest.mark.parametrize("epochs", [2, 10, 40, 400])
def test_series_grows_from_start_to_twice_the_start(epochs: int) -> None:
    values = [series_length_at(epoch, epochs) for epoch in range(epochs)]
    assert (values[0], values[-1]) == (9, 18)
    assert values == sorted(values)


def test_learning_rate_warms_up_and_falls_to_almost_zero() -> None:
    rates = [learning_rate_at(step, 1000, base=0.1, warmup=100) for step in range(1000)]
    assert max(rates) == rates[100] == pytest.approx(0.1)
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert 0 < rates[-1] < 1e-6


def test_set_epoch_reaches_every_layer_and_keeps_the_tensors() -> None:
    model = nn.Sequential(FDAConv2d(3, 4, 3), nn.Sequential(FDALinear(4, 2)))
    buffers = dict(model.named_buffers())
    set_epoch(model, 4, 10)
    for name, value in model.named_buffers():
        assert value is buffers[name]
        if name.endswith("alpha"):
            assert value == torch.tensor(alpha_at(4, 10))
        else:
            assert value == series_length_at(4, 10)
    set_epoch(model, 9, 10)
    assert all(value == 0 for name, value in model.named_buffers() if name.endswith("alpha"))
