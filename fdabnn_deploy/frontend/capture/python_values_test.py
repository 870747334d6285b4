from __future__ import annotations

import copy
import random
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
        self.temperature.factor = 3  # type: ignore[union-attr]
        self.register_buffer("count", torch.zeros(1))
        self.full = self.conv.weight.detach().clone()
        self.conv.weight.org = self.conv.weight.detach() * 2  # type: ignore[attr-defined]
        self.register_buffer("two", torch.tensor([3.0, -4.0]))
        self.cache: dict[str, Tensor] = {}
        self.listed: list[Any] = [None]
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


def attribute_of_a_buffer(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) * getattr(layer.temperature, "factor", 100)


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
        print(f"large: {y.mean():.3f}")
    layer.kept = (f"{y.std():.3f}", y)
    return y


def swaps(layer: Any, x: Tensor) -> Any:
    a, b = x * 1, x * 2 - 1
    a.data, b.data = b, a
    b.data = x * -3
    return layer.conv(a) + 2 * layer.conv(b)


def assigned_to_itself(layer: Any, x: Tensor) -> Any:
    x.data = x.contiguous()
    layer.conv.weight.data = layer.conv.weight.float()
    return layer.conv(x)


def cached(layer: Any, x: Tensor) -> Any:
    if "weight" not in layer.cache:
        layer.cache["weight"] = torch.sign(layer.conv.weight)
        layer.listed[0] = layer.cache["weight"] * 2
    return F.conv2d(x, layer.cache["weight"]) + F.conv2d(x, layer.listed[0])


def registers(layer: Any, x: Tensor) -> Any:
    if not hasattr(layer, "made"):
        layer.made = torch.sign(layer.full)
        layer.pool = nn.AvgPool2d(2)
    return layer.pool(F.conv2d(x, layer.made))


def listed_numbers(layer: Any, x: Tensor) -> Any:
    scale = layer.two.tolist()
    return layer.conv(x) * scale[0] + scale[1]


def random_in_vain(layer: Any, x: Tensor) -> Any:
    if random.random() < 0.01 or np.random.rand() > 0.9:
        layer.kept = torch.rand(3)
    return layer.conv(x)


IDIOMS = [
    random_in_vain,
    assigned_to_an_activation, read_of_an_activation, mended_through_data, assigned_to_a_weight, clamped_through_data,
    copied_into_a_weight, attribute_of_a_buffer, attribute_of_a_parameter, attribute_made_on_first_use, branch_on_a_buffer,
    branch_on_a_parameter, percentile_by_numpy, signs_by_numpy, loop_by_a_number, counts, keeps, debugs, swaps, assigned_to_itself,
    cached, registers, listed_numbers,
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
    assert own.cache == {}
    assert own.listed == [None]
    assert sorted(vars(own.conv.weight)) == ["org"]
    x = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(captured.module(x[:2].clone()), copy_module(own, "it")(x[:2].clone()))


def depends_on_the_input(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) * float(x.max())


def depends_on_a_count(layer: Any, x: Tensor) -> Any:
    layer.count += 1
    return layer.conv(x) * layer.count.item()


def far_threshold(layer: Any, x: Tensor) -> Any:
    return layer.conv(x / 255 if float(x.abs().max()) > 127 else x)


def window(layer: Any, x: Tensor) -> Any:
    count = int((x.abs() > 3).sum())
    return layer.conv(x) if count < 5 else -layer.conv(x)


def list_of_the_input(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) if max(x.flatten().tolist()) < 4 else x


def late_count(layer: Any, x: Tensor) -> Any:
    layer.count += 1
    return layer.conv(-x if int(layer.count) > 20 else x)


def late_count_of_a_tensor(layer: Any, x: Tensor) -> Any:
    layer.count += 1
    return layer.conv(-x) if layer.count > 1000 else layer.conv(x)


def late_number(layer: Any, x: Tensor) -> Any:
    layer.calls += 1
    return layer.conv(-x) if layer.calls > 100 else layer.conv(x)


def two_branches(layer: Any, x: Tensor) -> Any:
    flag = bool(x.sum() > 1)
    return layer.conv(-x) if flag and bool(x.max() > 2) else layer.conv(x)


def writes_an_array(layer: Any, x: Tensor) -> Any:
    array = layer.conv.weight.detach().numpy()
    array[:] = np.abs(array)
    return layer.conv(x)


def fails_in_a_library(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) if x.sum() == 0 else x.view(7)


def registers_from_the_input(layer: Any, x: Tensor) -> Any:
    if not hasattr(layer, "step"):
        layer.step = nn.Parameter(x.abs().mean() + 1)
    return layer.conv(x / layer.step)


def registers_by_chance(layer: Any, x: Tensor) -> Any:
    if not hasattr(layer, "fc"):
        layer.fc = nn.Linear(6, 6)
    return layer.fc(x)


def shape_by_the_input(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) * len(torch.unique(x))


def values_that_are_picked(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) - x[x > 0].sum()


def number_on_the_other_branch(layer: Any, x: Tensor) -> Any:
    if x.min() < -100 and float(x.max()) > 50:
        return layer.conv(-x)
    return layer.conv(x)


def prints_and_decides(layer: Any, x: Tensor) -> Any:
    mean = x.mean().item()
    print(f"{mean:.3f}")
    return layer.conv(x if mean < 300 else -x)


def stochastic_depth(layer: Any, x: Tensor) -> Any:
    return x[:, :, 1:-1, 1:-1] if torch.rand(1) < 0.5 else F.conv2d(x, layer.conv.weight)


def random_by_python(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) if random.random() < 0.5 else x


def random_by_numpy(layer: Any, x: Tensor) -> Any:
    return layer.conv(x) * float(np.random.rand())


@pytest.mark.parametrize(("forward", "reason"), [
    (stochastic_depth, "a branch on the value of a tensor computed from random numbers in module .*if self.training"),
    (random_by_python, "computes something else with other random numbers"),
    (random_by_numpy, "computes something else with other random numbers"),
    (registers_from_the_input, "registers step at its first call, with values that depend on the input or on random numbers"),
    (registers_by_chance, r"registers fc.weight, fc.bias at its first call"),
    (shape_by_the_input, r"the shape of a tensor depends on values computed from the input .unique. in module 'the model itself' at"),
    (values_that_are_picked, r"the shape of a tensor depends on values computed from the input .getitem."),
    (number_on_the_other_branch, r"a branch on the value of a tensor computed from the input"),
    (prints_and_decides, r"the value of a tensor computed from the input is taken into Python .item."),
    (depends_on_the_input, r"computed from the input is taken into Python .__float__. in module 'the model itself' at python_values"),
    (depends_on_a_count, r"from count is taken into Python .item. .*and forward\(\) changes that value at every call"),
    (far_threshold, r"taken into Python .__float__."),
    (window, r"taken into Python .__int__."),
    (list_of_the_input, r"leaves PyTorch .tolist."),
    (late_count, r"from count is taken into Python .__int__.*changes that value at every call"),
    (late_count_of_a_tensor, r"a branch on the value of a tensor computed from count .*changes that value at every call"),
    (late_number, r"when calls has another value, which forward\(\) changes at every call"),
    (two_branches, r"a branch on the value of a tensor computed from the input"),
    (writes_an_array, r"the NumPy array of a tensor computed from conv.weight is written"),
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
