from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.frontend.checkpoint.copying import copy_module

SHAPE = (3, 6, 6)


class Layer(nn.Module):
    """A convolution with what idioms need: a buffer, a counter, a tensor that is no buffer, an attribute on its weight."""

    def __init__(self, forward: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.register_buffer("temperature", torch.full((1,), 1e-8))
        self.register_buffer("count", torch.zeros(1))
        self.full = self.conv.weight.detach().clone()
        self.conv.weight.org = self.conv.weight.detach() * 2  # type: ignore[attr-defined]
        self.calls = 0
        self.kept: Any = None
        self.code = forward

    def forward(self, x: Tensor) -> Any:
        return self.code(self, x)


def assigned_to_an_activation(layer: Any, x: Tensor) -> Any:
    y = layer.conv(x)
    shortcut = y
    y.data = torch.sign(y.data)
    return F.conv2d(y, layer.conv.weight) + shortcut[:, :, 1:-1, 1:-1]


def read_of_an_activation(layer: Any, x: Tensor) -> Tensor:
    return F.conv2d(layer.conv(x).data.sign(), layer.conv.weight.data.sign())


def mended_through_data(layer: Any, x: Tensor) -> Tensor:
    y = layer.conv(x)
    y.data[y.data == 0] = 1
    y.data.sign_()
    y.data = y.data * 2
    result: Tensor = y
    return result


def assigned_to_a_weight(layer: Any, x: Tensor) -> Any:
    layer.conv.weight.data = torch.sign(layer.full)
    return layer.conv(x)


def clamped_through_data(layer: Any, x: Tensor) -> Any:
    layer.conv.weight.data.clamp_(-0.1, 0.1)
    return layer.conv(x)


def copied_into_a_weight(layer: Any, x: Tensor) -> Any:
    layer.conv.weight.data.copy_(layer.conv.weight.data.sign())
    return layer.conv(x)


def attribute_of_a_parameter(layer: Any, x: Tensor) -> Any:
    layer.conv.weight.data = torch.sign(layer.conv.weight.org)
    return layer.conv(x)


def attribute_made_on_first_use(layer: Any, x: Tensor) -> Any:
    if not hasattr(layer.conv.bias, "org"):
        layer.conv.bias.org = layer.conv.bias.data.clone()
    layer.conv.bias.data = layer.conv.bias.org.sign()
    return layer.conv(x)


def branch_on_a_buffer(layer: Any, x: Tensor) -> Any:
    weight = layer.conv.weight
    weight = torch.sign(weight) if layer.temperature < 1e-7 else (weight / layer.temperature).clamp(-1, 1)
    return F.conv2d(x, weight)


def branch_on_a_parameter(layer: Any, x: Tensor) -> Any:
    same = torch.equal(layer.full, layer.conv.weight)
    return layer.conv(x) if same and layer.conv.weight.abs().max() > 0 else x


def percentile_by_numpy(layer: Any, x: Tensor) -> Any:
    high = np.percentile(layer.conv.weight.detach().abs().flatten().cpu(), 90)
    return F.conv2d(x, layer.conv.weight.clamp(-high, high))


def signs_by_numpy(layer: Any, x: Tensor) -> Any:
    signs = np.where(layer.conv.weight.detach().numpy() > 0, 1, -1).astype(np.float32)
    return F.conv2d(x.sign(), torch.from_numpy(signs))


def loop_by_a_number(layer: Any, x: Tensor) -> Tensor:
    for _ in range(int(layer.temperature.numel() + layer.temperature.round().item() + 2)):
        x = x + len(layer.temperature.tolist())
    return x * float(layer.temperature + 1)


def counts(layer: Any, x: Tensor) -> Any:
    layer.calls += 1
    layer.count += 1
    if layer.calls > 100 or layer.count % 100 == 0:
        print("a hundred calls")
    return layer.conv(x)


def keeps(layer: Any, x: Tensor) -> Any:
    layer.kept = layer.conv(x)
    layer.conv.weight.last = layer.kept.mean()
    return layer.kept.clone()


def debugs(layer: Any, x: Tensor) -> Any:
    y = layer.conv(x)
    if torch.isnan(y).any():
        raise ValueError("not a number")
    assert y.abs().max() < 1e6
    if y.mean() > 100:
        print("large", y.mean().item(), y.numpy())
    layer.kept = (y.mean().item(), f"{y.std():.3f}", y.flatten().tolist(), y.numpy())
    return y


IDIOMS = [
    assigned_to_an_activation, read_of_an_activation, mended_through_data, assigned_to_a_weight, clamped_through_data, copied_into_a_weight,
    attribute_of_a_parameter, attribute_made_on_first_use, branch_on_a_buffer, branch_on_a_parameter, percentile_by_numpy, signs_by_numpy,
    loop_by_a_number, counts, keeps, debugs,
]  # fmt: skip


@pytest.mark.parametrize("forward", IDIOMS)
def test_what_is_written_outside_of_a_trace_is_followed_and_leaves_no_mark(
    forward: Callable[[Any, Tensor], Any],
) -> None:
    own = Layer(forward).eval()
    before = copy.deepcopy(own.state_dict())
    attributes = dict(vars(own))
    captured = capture(own, SHAPE)
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert vars(own) == attributes
    assert sorted(vars(own.conv.weight)) == ["org"]
    x = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(captured.module(x[:2].clone()), copy_module(own, "it")(x[:2].clone()))


def depends_on_the_input(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) * float(x.max())


def depends_on_a_count(layer: Any, x: Tensor) -> Any:
    layer.count += 1
    return layer.conv(x) * layer.count.item()


def fails_in_a_library(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) if x.sum() == 0 else x.view(7)


@pytest.mark.parametrize(("forward", "reason"), [
    (depends_on_the_input, r"computed from the input is taken into Python .__float__. in module 'the model itself' at python_values"),
    (depends_on_a_count, r"from count is taken into Python .item. .*and forward\(\) changes that value at every call"),
    (fails_in_a_library, r"a branch on the value of a tensor computed from the input.*x\.sum\(\) == 0"),
])  # fmt: skip
def test_values_that_decide_what_is_computed_are_refused(
    forward: Callable[[Any, Tensor], Any], reason: str
) -> None:
    with pytest.raises(ModelRefusedError, match=reason):
        capture(Layer(forward).eval(), SHAPE)


def test_many_branches_are_listed() -> None:
    def many(layer: Any, x: Tensor) -> Tensor:
        for channel in range(20):
            if x[:, 0].sum() > channel:
                x = x + 1
        return x if x.mean() > 0 else -x

    with pytest.raises(ModelRefusedError, match=r"channel:`.*\n.*x\.mean\(\)"):
        capture(Layer(many).eval(), SHAPE)
