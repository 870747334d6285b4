"""Code around the calculation: branches, counters, tensors kept and attached, NumPy, and modules that cannot be copied."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdabnn_deploy.frontend.capture.idioms.written_testing import (
    Idioms,
    Images,
    Sequences,
    Tokens,
    Vectors,
    check,
    sign,
    trained,
)

IDIOMS = Idioms()


@IDIOMS("branch on a buffer")
class Annealed(nn.Conv2d):
    """BNext's weights: smooth above a temperature, signs below."""

    shape = (3, 8, 8)
    temperature: Tensor

    def __init__(self) -> None:
        super().__init__(3, 8, 3)
        self.register_buffer("temperature", torch.tensor([1e-9]))

    def forward(self, x: Tensor) -> Any:
        weight = self.weight.sign()
        if self.temperature >= 1e-7:
            weight = torch.clamp(self.weight / self.temperature.clamp(min=1e-8), -1, 1)
        return F.conv2d(sign(x), weight * self.weight.abs().mean((1, 2, 3), keepdim=True), self.bias)


@IDIOMS("branch on a buffer", Sequences)
def on_statistics(net: Any, x: Tensor) -> Any:
    y = net.norm(net.first(x))
    if net.norm.running_var.min() > 1e-3 and bool((net.norm.running_mean != 0).any()):
        y = sign(y)
    return F.conv1d(y, sign(net.conv.weight))


@IDIOMS("branch on a buffer")
class Initialised(nn.Module):
    """LSQ-like: a flag in a buffer says whether the step was found already."""

    shape = (12,)
    initialised: Tensor
    bits: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight, self.step = nn.Linear(12, 8), trained(8, 8), nn.Parameter(torch.tensor(0.7))
        self.register_buffer("initialised", torch.ones((), dtype=torch.uint8))
        self.register_buffer("bits", torch.tensor(1))

    def forward(self, x: Tensor) -> Any:
        y = self.first(x)
        if self.initialised == 0 and self.training:
            self.step.data.copy_(y.abs().mean())
        levels = 2 ** int(self.bits) - 1
        y = (y / self.step).clamp(0, levels).round() * self.step
        return F.linear(y, sign(self.weight))


@IDIOMS("branch on a parameter", Images)
def largest_of_a_tensor(net: Any, x: Tensor) -> Any:
    weight = net.conv.weight
    if max(weight.flatten()) > 0.01 and min(weight.view(-1)) < 0:
        weight = weight / weight.abs().max()
    return F.conv2d(sign(net.first(x)), sign(weight)) * (2 if weight.std().item() > 0 else 3)


@IDIOMS("branch on a parameter", Vectors)
def values_that_occur(net: Any, x: Tensor) -> Any:
    weight = sign(net.dense.weight)
    values = torch.unique(weight)
    if (
        len(values) == 2
        and values.tolist() == [-1.0, 1.0]
        and torch.unique(weight, return_counts=True)[1].min() > 1
    ):
        return net.head(F.linear(sign(net.first(x)), weight))
    return net.head(net.first(x))


@IDIOMS("branch on a parameter", Tokens)
def loop_over_values(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    total = 0.0
    for value in net.shift:
        if value > 0:
            total += float(value)
    negative = torch.nonzero(net.shift < 0)
    if net.shift.any() and len(negative) > 0 and min(net.shift) < 0 < max(net.shift):
        y = y + total
    return net.head(F.linear(sign(y), sign(net.dense.weight)))


@IDIOMS("debugging branch", Images)
def checks(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    assert not torch.isnan(y).any(), "not a number"
    if (y.abs() > 1e4).any():
        raise ValueError(f"large: {y.max().item()}")
    return F.conv2d(sign(y), sign(net.conv.weight))


@IDIOMS("debugging branch", Vectors)
def prints(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    if torch.isinf(y).any() or y.max() > 1e6:
        print("overflow", y.shape, y.min())
    signs = sign(y)
    if len(torch.unique(signs)) > 2:
        print("not binary", signs)
    return net.head(F.linear(signs, sign(net.dense.weight)))


@IDIOMS("debugging branch")
class Verbose(nn.Module):
    shape = (4, 12)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight, self.verbose, self.history = (
            nn.Conv1d(4, 8, 3),
            trained(8, 8, 1),
            True,
            list[str](),
        )

    def log(self, name: str, y: Tensor) -> None:
        if self.verbose:
            self.history.append(f"{name} {tuple(y.shape)} mean {y.mean().item():.4f} {y.std()}")
            if not torch.isfinite(y).all():
                self.history.clear()

    def forward(self, x: Tensor) -> Any:
        y = self.first(x)
        self.log("first", y)
        y = F.conv1d(sign(y), sign(self.weight))
        self.log("second", y)
        return y


@IDIOMS("counter")
class CountsCalls(nn.Module):
    shape = (3, 8, 8)
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.calls = nn.Conv2d(3, 8, 3), 0
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        self.seen += x.shape[0]
        return F.conv2d(sign(x), sign(self.conv.weight))


@IDIOMS("counter")
class Statistics(nn.Module):
    """Tensors that are no buffers, and a list, which every call changes."""

    shape = (12,)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight = nn.Linear(12, 8), trained(8, 8)
        self.moving, self.steps, self.times = torch.zeros(8), [0], deque[int](maxlen=3)

    def forward(self, x: Tensor) -> Any:
        y = self.first(x)
        self.moving.mul_(0.9).add_(0.1 * y.detach().mean(0))
        self.steps[0] += 1
        self.times.append(self.steps[0])
        return F.linear(sign(y), sign(self.weight))


@IDIOMS("counter")
class RegistersInForward(nn.Module):
    """Buffers and parameters made at the first call."""

    shape = (4, 12)
    scale: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight = nn.Conv1d(4, 8, 3), trained(8, 8, 3)

    def forward(self, x: Tensor) -> Any:
        if not hasattr(self, "scale"):
            self.register_buffer("scale", self.weight.abs().mean((1, 2), keepdim=True).detach())
            self.register_parameter("shift", nn.Parameter(torch.full((1, 8, 1), 0.1)))
            self.register_buffer("count", torch.zeros(1))
        self.count += 1
        return F.conv1d(sign(self.first(x) + self.shift), sign(self.weight) * self.scale)


@IDIOMS("attribute on a parameter")
class Marked(nn.Module):
    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.conv.weight.binary = True  # type: ignore[attr-defined]
        self.conv.weight.limit = 0.05  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Any:
        weight: Any = self.conv.weight
        if getattr(weight, "binary", False):
            weight = torch.sign(weight) * weight.limit
        return F.conv2d(sign(self.first(x)), weight)


@IDIOMS("attribute on a parameter", Vectors)
def set_in_forward(net: Any, x: Tensor) -> Any:
    net.dense.weight.alpha = net.dense.weight.abs().mean(1, keepdim=True).detach()
    net.dense.weight.signs = sign(net.dense.weight)
    return F.linear(sign(net.first(x)), net.dense.weight.signs * net.dense.weight.alpha)


@IDIOMS("attribute on a parameter")
class KeptCopy(nn.Module):
    shape = (6, 4)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.dense = nn.Linear(4, 8), nn.Linear(8, 8)
        for parameter in self.parameters():
            parameter.org = parameter.data.clone()  # type: ignore[attr-defined]
            parameter.info = {"kept": [parameter.data.mean()]}  # type: ignore[attr-defined]

    def forward(self, x: Tensor) -> Any:
        weight, bias = cast("Any", self.dense.weight), cast("Any", self.dense.bias)
        return F.linear(sign(self.first(x)), weight.org.sign()) * weight.info["kept"][0] + bias.org


@IDIOMS("cannot be copied")
class Locked(nn.Module):
    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lock = nn.Conv2d(3, 8, 3), threading.Lock()

    def forward(self, x: Tensor) -> Any:
        with self.lock:
            return F.conv2d(sign(x), sign(self.conv.weight))


@IDIOMS("cannot be copied")
class KeptWithHistory(nn.Module):
    """A tensor with a history, and a generator object."""

    shape = (12,)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight = nn.Linear(12, 8), trained(8, 8)
        self.scale, self.numbers = self.weight.abs().mean(1), (number for number in range(3))

    def forward(self, x: Tensor) -> Any:
        return F.linear(sign(self.first(x)), sign(self.weight)) * self.scale.detach()


class Proxy(nn.Module):
    """Forwards what it does not have to the module inside, as containers of layers do."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.inner, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        raise TypeError("a layer container is not copied")

    def forward(self, x: Tensor) -> Any:
        return F.conv1d(sign(x), sign(self.weight), self.bias)


@IDIOMS("cannot be copied")
class Contained(nn.Sequential):
    shape = (4, 12)

    def __init__(self) -> None:
        super().__init__(nn.Conv1d(4, 8, 3), Proxy(nn.Conv1d(8, 8, 3)), nn.PReLU(8))


@IDIOMS("kept on the module", Images)
def features(net: Any, x: Tensor) -> Any:
    net.feature = net.first(x)
    net.binary = {"input": sign(net.feature), "weight": [sign(net.conv.weight)]}
    return F.conv2d(net.binary["input"], net.binary["weight"][0])


@IDIOMS("kept on the module", Vectors)
def from_the_last_call(net: Any, x: Tensor) -> Any:
    if getattr(net, "last", None) is not None:
        net.change = (net.last - x.mean()).abs()
    net.last = x.mean()
    return F.linear(sign(net.first(x)), sign(net.dense.weight))


@IDIOMS("kept on the module")
class WithoutBuffers(nn.Module):
    shape = (4, 12)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight = nn.Conv1d(4, 8, 3), trained(8, 8, 3)
        self.mask = (torch.rand(1, 8, 1) > 0.3).float() * 2 - 1
        self.listed = [torch.tensor(0.3), torch.tensor(2.0)]
        self.table = {"mean": self.weight.detach().mean((1, 2), keepdim=True)}

    def forward(self, x: Tensor) -> Any:
        y = self.first(x) * self.mask + self.listed[0]
        return F.conv1d(sign(y), sign(self.weight - self.table["mean"])) * self.listed[1]


@IDIOMS("NumPy on weights", Images)
def percentile(net: Any, x: Tensor) -> Any:
    weight = net.conv.weight
    high = np.percentile(weight.detach().cpu().numpy(), 95)
    return F.conv2d(sign(net.first(x)), sign(weight.clamp(-float(high), float(high)) - float(weight.mean())))


@IDIOMS("NumPy on weights", Vectors)
def signs(net: Any, x: Tensor) -> Any:
    array = net.dense.weight.data.numpy()
    weight = torch.tensor(np.where(array >= 0, 1.0, -1.0), dtype=torch.float32)
    scale = torch.from_numpy(np.abs(array).mean(axis=1))
    return F.linear(sign(net.first(x)), weight) * scale


@IDIOMS("NumPy on weights", Sequences)
def power_of_two(net: Any, x: Tensor) -> Any:
    weight = net.conv.weight
    shift = np.round(np.log2(weight.abs().mean((1, 2)).detach().numpy()))
    scale = torch.as_tensor(2.0**shift).view(-1, 1, 1)
    return net.norm(F.conv1d(sign(net.first(x)), sign(weight) * scale * np.sqrt(2)))


@pytest.mark.parametrize(("make", "shape"), IDIOMS.cases)
def test_eager_and_captured_agree(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    check(make, shape)


def test_every_idiom_is_written_three_times() -> None:
    assert min(IDIOMS.counted().values()) >= 3
