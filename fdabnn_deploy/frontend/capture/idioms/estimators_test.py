"""Straight-through estimators, functions that rearrange, and functions at the end."""

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


@IDIOMS("surrogate written twice", Images)
def clamps(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = torch.clamp(y, -1, 1) + (torch.sign(y) - torch.clamp(y, -1, 1)).detach()
    weight = net.conv.weight
    weight = (
        torch.sign(weight).detach() - torch.clamp(weight, -1.0, 1.0).detach() + torch.clamp(weight, -1.0, 1.0)
    )
    return F.conv2d(y, weight)


@IDIOMS("surrogate written twice", Vectors)
def products(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = (y * net.scale) + (sign(y * net.scale) - (y * net.scale)).detach()
    return net.head(F.linear(y, sign(net.dense.weight)))


@IDIOMS("surrogate written twice", Sequences)
def other_forms(net: Any, x: Tensor) -> Any:
    y = net.norm(net.first(x))
    y = F.hardtanh(y) - F.hardtanh(y.detach()) + torch.where(y >= 0, 1.0, -1.0).detach()
    return F.conv1d(y, sign(net.conv.weight))


@IDIOMS("tanh behind detach", Images)
def scaled(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    soft = 3 * torch.tanh(1.2 * y)
    weight = torch.tanh(net.conv.weight * 10)
    return F.conv2d((y.sign() - soft).detach() + soft, (net.conv.weight.sign() - weight).detach() + weight)


@IDIOMS("tanh behind detach", Tokens)
def of_tokens(net: Any, x: Tensor) -> Any:
    y = net.first(x) + net.shift
    soft = torch.tanh(y)
    return net.head(F.linear(sign(y).detach() - soft.detach() + soft, sign(net.dense.weight)))


@IDIOMS("tanh behind detach")
class ErrorDecay(nn.Module):
    """IR-Net: k and t are tensors that the training loop changes."""

    shape = (4, 12)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight, self.k, self.t = (
            nn.Conv1d(4, 8, 1),
            trained(8, 8, 3),
            torch.tensor([1.5]).float(),
            torch.tensor([3.0]),
        )

    def forward(self, x: Tensor) -> Any:
        y = self.first(x)
        weight = (self.weight - self.weight.mean((1, 2), keepdim=True)) / self.weight.std(
            (1, 2), keepdim=True
        )
        scale = 2.0 ** torch.round(torch.log2(weight.abs().mean((1, 2), keepdim=True))).detach()
        soft = self.k * torch.tanh(self.t * y)
        return F.conv1d(soft + (torch.sign(y) - soft).detach(), torch.sign(weight) * scale)


@IDIOMS("hardtanh behind detach", Images)
def of_both_sides(net: Any, x: Tensor) -> Any:
    y, weight = net.first(x), net.conv.weight
    surrogate = F.hardtanh(y, -1.3, 1.3)
    return F.conv2d(
        surrogate + (sign(y) - surrogate).detach(),
        (sign(weight) - F.hardtanh(weight)).detach() + F.hardtanh(weight),
    )


@IDIOMS("hardtanh behind detach")
class AsModules(nn.Module):
    shape = (12,)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.dense, self.clip, self.htanh = (
            nn.Linear(12, 8),
            nn.Linear(8, 8),
            nn.Hardtanh(),
            nn.Hardtanh(inplace=True),
        )

    def forward(self, x: Tensor) -> Any:
        y = self.clip(self.first(x))
        y = y - y.detach() + y.detach().sign()
        y = self.htanh(self.dense(y))
        return F.linear(y.add(torch.sub(sign(y), y).detach()), sign(self.dense.weight))


@IDIOMS("hardtanh behind detach", Sequences)
def with_a_mask(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    inside = (y.abs() <= 1).float()
    surrogate = y * inside
    return F.conv1d((sign(y) - surrogate).detach() + surrogate, sign(net.conv.weight))


@IDIOMS("polynomial behind detach", Images)
def bireal(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    out = torch.sign(y)
    mask1, mask2, mask3 = y < -1, y < 0, y < 1
    out1 = (-1) * mask1.type(torch.float32) + (y * y + 2 * y) * (1 - mask1.type(torch.float32))
    out2 = out1 * mask2.type(torch.float32) + (-y * y + 2 * y) * (1 - mask2.type(torch.float32))
    out3 = out2 * mask3.type(torch.float32) + 1 * (1 - mask3.type(torch.float32))
    return net.norm(F.conv2d(out.detach() - out3.detach() + out3, sign(net.conv.weight)))


@IDIOMS("polynomial behind detach", Vectors)
def with_where(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    inside = y.clamp(-1, 1)
    soft = torch.where(inside < 0, 2 * inside + inside.pow(2), 2 * inside - inside**2)
    return net.head(F.linear(soft + (sign(y) - soft).detach(), sign(net.dense.weight)))


@IDIOMS("polynomial behind detach", Tokens)
def cubic(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    c = torch.clamp(y, -1, 1)
    soft = 1.5 * c - 0.5 * c * c * c
    soft3 = c**3 / 3
    y = (sign(y) - soft).detach() + soft
    y = (y.detach() - soft3.detach()) + soft3
    return F.linear(y, sign(net.dense.weight))


@IDIOMS("stack and sum", Images)
def in_front_of_the_batch(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    paths = [F.conv2d(sign(y + offset), sign(net.conv.weight)) for offset in (-0.2, 0.0, 0.3)]
    return torch.stack(paths).sum(0) + torch.stack(paths, dim=0).mean(dim=0) + sum(paths)


@IDIOMS("stack and sum", Sequences)
def behind_the_channels(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    paths = [F.conv1d(sign(y), sign(net.conv.weight)), F.conv1d(sign(-y), sign(net.conv.weight)) * net.scale]
    return torch.stack(paths, -1).sum(-1) + torch.stack(paths, 2).mean(2) - torch.stack(paths, 0).amax(0)


@IDIOMS("stack and sum", Vectors)
def weighted(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    paths = torch.stack([F.linear(sign(y), sign(net.dense.weight)), y, net.act(y)], 0)
    factors = torch.tensor([0.5, 0.3, 0.2]).view(3, 1, 1)
    return net.head((paths * factors).sum(0)) + net.head(paths[0] + paths[2])


@IDIOMS("einsum with a weight", Images)
def pointwise(net: Any, x: Tensor) -> Any:
    return torch.einsum("nchw,oc->nohw", sign(net.first(x)), sign(net.head.weight)) + net.vector[:5].view(
        1, 5, 1, 1
    )


@IDIOMS("einsum with a weight", Tokens)
def tokens(net: Any, x: Tensor) -> Any:
    y = torch.einsum("btc,oc->bto", sign(net.first(x)), sign(net.dense.weight))
    return torch.einsum("btc,c->btc", y, net.shift) + torch.einsum("btc,co->bto", y, net.dense.weight)


@IDIOMS("einsum with a weight", Vectors)
def vectors(net: Any, x: Tensor) -> Any:
    y = torch.einsum("oi,bi->bo", sign(net.dense.weight), sign(net.first(x)))
    return net.head(y) + torch.einsum("...i,oi->...o", y, net.head.weight)


@IDIOMS("flip", Images)
def augmented_at_test_time(net: Any, x: Tensor) -> Any:
    first = F.conv2d(sign(net.first(x)), sign(net.conv.weight)).mean((2, 3))
    second = F.conv2d(sign(net.first(torch.flip(x, [3]))), sign(net.conv.weight)).mean((2, 3))
    return net.head((first + second) / 2)


@IDIOMS("flip", Sequences)
def both_directions(net: Any, x: Tensor) -> Any:
    y = sign(net.first(x))
    back = F.conv1d(y.flip(-1), sign(net.conv.weight)).flip((2,))
    return F.conv1d(y, sign(net.conv.weight)) + back


@IDIOMS("flip", Images)
def channels_and_weights(net: Any, x: Tensor) -> Any:
    y = net.first(x).flip(1)
    return F.conv2d(sign(y), sign(net.conv.weight).flip(2, 3)) + torch.fliplr(y)[:, :, 1:-1, 1:-1]


@IDIOMS("roll", Images)
def shifted_features(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = torch.cat([torch.roll(y[:, :4], 1, 2), torch.roll(y[:, 4:], -1, 3)], 1)
    return F.conv2d(sign(y), sign(net.conv.weight))


@IDIOMS("roll", Tokens)
def shifted_tokens(net: Any, x: Tensor) -> Any:
    y = sign(net.first(x))
    return net.head(F.linear(y.roll(1, dims=1), sign(net.dense.weight)) + y.roll(shifts=(-2,), dims=(-1,)))


@IDIOMS("roll", Images)
def windows(net: Any, x: Tensor) -> Any:
    y = torch.roll(net.first(x), shifts=(-2, -2), dims=(2, 3))
    y = F.conv2d(sign(y), torch.roll(sign(net.conv.weight), 1, 1), padding=1)
    return torch.roll(y, (2, 2), (2, 3))


@IDIOMS("channel shuffle")
class Shuffled(nn.Sequential):
    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3),
            nn.ChannelShuffle(2),
            SignConv(8, 8, 3, groups=2, bias=False),
            nn.ChannelShuffle(4),
            nn.BatchNorm2d(8),
        )


class SignConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(
            sign(x), sign(self.weight), self.bias, self.stride, self.padding, self.dilation, self.groups
        )


@IDIOMS("channel shuffle", Images)
def by_views(net: Any, x: Tensor) -> Any:
    y = net.act(net.norm(net.first(x)))
    n, c, h, w = y.shape
    y = y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
    return F.conv2d(sign(y), sign(net.conv.weight))


@IDIOMS("channel shuffle", Sequences)
def of_a_sequence(net: Any, x: Tensor) -> Any:
    y = F.channel_shuffle(net.first(x).unsqueeze(2), 4).squeeze(2)
    left, right = y.chunk(2, 1)
    left = left + F.conv1d(sign(right), sign(net.conv.weight[:4, :4]), padding=1)
    return F.channel_shuffle(torch.cat((left, right), 1), 2)


@IDIOMS("final softmax", Images)
def functional(net: Any, x: Tensor) -> Any:
    return F.softmax(net.head(F.conv2d(sign(net.first(x)), sign(net.conv.weight)).mean((2, 3))), dim=1)


@IDIOMS("final softmax")
class AsALayer(nn.Sequential):
    shape = (12,)

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(12, 8), nn.BatchNorm1d(8), SignLinear(8, 8), nn.Linear(8, 5), nn.Softmax(dim=-1)
        )


class SignLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(sign(x), sign(self.weight), self.bias)


@IDIOMS("final softmax")
class InAHook(nn.Module):
    shape = (4, 12)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight = nn.Conv1d(4, 8, 3), trained(5, 8, 1)
        self.register_forward_hook(lambda net, given, returned: torch.softmax(returned, 1))

    def forward(self, x: Tensor) -> Any:
        return F.conv1d(sign(self.first(x)), sign(self.weight)).mean(2)


@IDIOMS("final log-softmax", Images)
def with_features(net: Any, x: Tensor) -> Any:
    feature = F.conv2d(sign(net.first(x)), sign(net.conv.weight)).flatten(2).mean(-1)
    return {"scores": net.head(feature).log_softmax(-1), "feature": feature}


@IDIOMS("final log-softmax", Vectors)
def functional_log(net: Any, x: Tensor) -> Any:
    return F.log_softmax(net.head(F.linear(sign(net.first(x)), sign(net.dense.weight))), dim=1)


@IDIOMS("final log-softmax")
class TwoHeads(nn.Module):
    shape = (4, 12)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weight, self.one, self.two, self.end = (
            nn.Conv1d(4, 8, 3),
            trained(8, 8, 1),
            nn.Linear(8, 3),
            nn.Linear(8, 2),
            nn.LogSoftmax(1),
        )

    def forward(self, x: Tensor) -> Any:
        y = F.conv1d(sign(self.first(x)), sign(self.weight)).mean(2)
        return self.end(self.one(y)), self.end(self.two(y))


@pytest.mark.parametrize(("make", "shape"), IDIOMS.cases)
def test_eager_and_captured_agree(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    captured = check(make, shape)
    assert captured.without_softmax == bool(captured.notes)


def test_every_idiom_is_written_three_times() -> None:
    assert min(IDIOMS.counted().values()) >= 3
