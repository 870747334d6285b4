from __future__ import annotations

import torch
from torch import nn

from fdabnn_models.architectures.resnet_cifar import resnet20
from fdabnn_models.ranges import record_ranges


def test_ranges_are_the_extremes_over_all_batches() -> None:
    model = nn.Sequential(nn.Identity(), nn.ReLU())
    batches = [torch.tensor([[-2.0, 1.0]]), torch.tensor([[0.5, 3.0]]), torch.tensor([[-1.0, 0.0]])]
    assert record_ranges(model, batches) == {
        "input": {"min": -2.0, "max": 3.0},
        "0": {"min": -2.0, "max": 3.0},
        "1": {"min": 0.0, "max": 3.0},
    }


def test_every_tensor_before_a_float_reduction_is_recorded_in_eval_mode() -> None:
    torch.manual_seed(0)
    model = resnet20()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ranges = record_ranges(model, [torch.randn(4, 3, 32, 32)])
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    needed = {
        "input",
        "conv1",
        "bn1",
        "layer1.0",
        "layer3.2",
        "layer2.1.prelu1",
        "layer2.1.bn2",
        "pool",
        "linear",
    }
    assert needed <= ranges.keys()
    assert not any("noise" in path for path in ranges)
    assert all(limits["min"] <= limits["max"] for limits in ranges.values())
    model.eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        stem = model.get_submodule("bn1")(model.get_submodule("conv1")(x))
    assert record_ranges(model, [x])["bn1"] == {"min": stem.min().item(), "max": stem.max().item()}
