"""Signs that mend zero, and comparisons that become numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


@IDIOMS("zero mended", Images)
def with_a_small_number(net: Any, x: Tensor) -> Any:
    y = torch.sign(torch.sign(net.first(x)) + 0.5)
    return net.norm(F.conv2d(y, torch.sign(torch.sign(net.conv.weight) + 0.1), padding=1))


@IDIOMS("zero mended", Vectors)
def with_a_comparison(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = y.sign() + (y == 0).float()
    weight = net.dense.weight.sign() + (net.dense.weight == 0).type_as(y)
    return net.head(F.linear(y, weight))


@IDIOMS("zero mended", Sequences)
def twice_a_comparison(net: Any, x: Tensor) -> Any:
    y = net.norm(net.first(x))
    y = 2 * (y >= 0).to(y.dtype) - 1
    return F.conv1d(y, net.conv.weight.ge(0).float().mul(2).sub(1))


@IDIOMS("index assignment", Images)
def of_a_mask(net: Any, x: Tensor) -> Any:
    y = torch.sign(net.first(x))
    y[y == 0] = 1
    weight = torch.sign(net.conv.weight)
    weight[weight == 0] = -1
    return F.conv2d(y, weight)


@IDIOMS("index assignment", Vectors)
def of_two_masks(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    out = torch.zeros_like(y)
    out[y >= 0] = 1
    out[y < 0] = -1
    weight = net.dense.weight.clone()
    weight[weight >= 0] = 1
    weight[weight < 0] = -1
    return net.head(F.linear(out, weight))


@IDIOMS("index assignment", Tokens)
def of_a_clone_in_a_loop(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    for _ in range(2):
        s = y.clone()
        s[y.ge(0)], s[y.lt(0)] = 1.0, -1.0
        y = net.act(F.linear(s, sign(net.dense.weight)).transpose(1, 2)).transpose(1, 2) + y
    return net.head(y)


@IDIOMS("masked_fill", Images)
def in_place(net: Any, x: Tensor) -> Any:
    y = net.first(x).sign()
    y.masked_fill_(y == 0, 1)
    return net.act(F.conv2d(y, net.conv.weight.sign().masked_fill(net.conv.weight == 0, 1)))


@IDIOMS("masked_fill", Sequences)
def from_ones(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = torch.ones_like(y).masked_fill(y < 0, -1)
    return F.conv1d(y, torch.ones_like(net.conv.weight).masked_fill(net.conv.weight < 0, -1.0)) * net.scale


@IDIOMS("masked_fill", Vectors)
def with_a_tensor(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    one = torch.tensor(1.0)
    return net.head(F.linear(y.masked_fill(y >= 0, one).masked_fill(y < 0, -one), sign(net.dense.weight)))


@IDIOMS("bool times float", Images)
def two_masks(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = (y >= 0) * 1.0 + (y < 0) * -1.0
    return F.conv2d(y, (net.conv.weight > 0) * 2.0 - 1.0)


@IDIOMS("bool times float", Tokens)
def scaled_mask(net: Any, x: Tensor) -> Any:
    y = net.first(x) + net.shift
    y = (y > 0) * torch.tensor(2.0) - 1
    return net.head(F.linear(y, sign(net.dense.weight)) * net.scale)


@IDIOMS("bool times float", Vectors)
def mask_times_itself(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    relu = y * (y > 0)
    flipped = y * ~(y > 0)
    return net.head(relu - 0.2 * flipped) + net.head((y > 0) * net.scale)


@IDIOMS("where(x > max, max, x)", Images)
def both_limits(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    high, low = torch.tensor(0.4), torch.tensor(-0.3)
    y = torch.where(y > high, high, y)
    y = torch.where(y < low, low, y)
    return net.norm(F.conv2d(sign(y), sign(net.conv.weight))) + y[:, :, 1:-1, 1:-1]


@IDIOMS("where(x > max, max, x)")
class LimitsPerChannel(nn.Module):
    shape = (4, 12)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.max_value, self.act = nn.Conv1d(4, 8, 3), trained(1, 8, 1, around=0.5), nn.PReLU(8)

    def forward(self, x: Tensor) -> Any:
        y = self.first(x)
        y = torch.where(y > self.max_value, self.max_value, y)
        low = -self.max_value.expand_as(y)
        return self.act(torch.where(y < low, low, y))


@IDIOMS("where(x > max, max, x)", Vectors)
def by_the_larger_of_two(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    high = net.scale.abs()
    y = torch.max(torch.min(y, high), -high)
    return net.head(torch.maximum(y, net.shift) + torch.max(y, torch.tensor(0.1)) + torch.min(net.shift, y))


@IDIOMS("counts of a mask", Images)
def number_of_positives(net: Any, x: Tensor) -> Any:
    return net.norm(net.first(x)) + (net.first(x) > 0).sum((2, 3), keepdim=True) / 64


@IDIOMS("counts of a mask", Tokens)
def votes(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    return net.head((y >= 0).sum(1).float() - (y < 0).sum(dim=1))


@IDIOMS("counts of a mask", Sequences)
def mean_of_a_mask(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    mask = (y > net.shift).int()
    return net.head(mask.sum(-1) * 0.1 + (y > 0).long().sum(2).type_as(y) + mask.float().mean(2))


@pytest.mark.parametrize(("make", "shape"), IDIOMS.cases)
def test_eager_and_captured_agree(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    check(make, shape)


def test_every_idiom_is_written_three_times() -> None:
    assert min(IDIOMS.counted().values()) >= 3
