"""Constants that are equal within a channel, written in the shape of an activation."""

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


class LearnableBias(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = trained(1, channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.expand_as(x)


@IDIOMS("expand_as")
class ReActBlock(nn.Module):
    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.move, self.conv, self.norm = (
            LearnableBias(8),
            nn.Conv2d(8, 8, 3, 1, 1, bias=False),
            nn.BatchNorm2d(8),
        )
        self.move1, self.act, self.move2 = LearnableBias(8), nn.PReLU(8), LearnableBias(8)

    def forward(self, x: Tensor) -> Any:
        x = self.first(x)
        scale = self.conv.weight.abs().mean((1, 2, 3), keepdim=True).detach()
        y = self.norm(F.conv2d(torch.sign(self.move(x)), scale * torch.sign(self.conv.weight), None, 1, 1))
        return self.move2(self.act(self.move1(y + x)))


@IDIOMS("expand_as", Sequences)
def of_a_sequence(net: Any, x: Tensor) -> Any:
    y = net.norm(net.first(x))
    return F.conv1d(sign(y - net.shift.expand_as(y)), sign(net.conv.weight)) * net.scale.expand_as(
        y[:, :, 1:-1]
    )


@IDIOMS("expand_as", Images)
def of_a_mask(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = torch.where(y > net.shift.expand_as(y), torch.ones_like(y), -torch.ones_like(y))
    return net.norm(F.conv2d(y, sign(net.conv.weight)))


@IDIOMS("expand", Images)
def to_a_size(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = y * net.scale.view(1, -1, 1, 1).expand(y.size(0), -1, y.size(2), y.size(3))
    return net.act(F.conv2d(sign(y), sign(net.conv.weight), padding=1) + net.shift.expand(y.shape))


@IDIOMS("expand", Tokens)
def class_token(net: Any, x: Tensor) -> Any:
    tokens = net.first(x)
    tokens = tokens + net.scale.expand(tokens.shape[0], tokens.shape[1], -1)
    return net.head(F.linear(sign(tokens), sign(net.dense.weight)).mean(1) + net.shift.expand(x.shape[0], 8))


@IDIOMS("expand", Sequences)
def broadcast_in_a_loop(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    for factor in (1.0, -0.5):
        y = y + factor * torch.broadcast_to(net.shift, y.shape)
    return F.conv1d(sign(y), sign(net.conv.weight))


@IDIOMS("repeat", Images)
def over_rows_and_columns(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = y + net.shift.repeat(y.shape[0], 1, y.shape[2], y.shape[3])
    return net.norm(F.conv2d(sign(y), sign(net.conv.weight), stride=2))


@IDIOMS("repeat", Sequences)
def tiled(net: Any, x: Tensor) -> Any:
    y = net.act(net.first(x))
    y = y - torch.tile(net.shift, (len(y), 1, y.shape[-1]))
    return F.conv1d(sign(y), sign(net.conv.weight)) * net.vector.unsqueeze(-1).repeat(1, 10)


@IDIOMS("repeat", Images)
def interleaved_channels(net: Any, x: Tensor) -> Any:
    y = net.pointwise(sign(net.first(x)))
    return y * net.vector.repeat_interleave(2).view(1, 16, 1, 1).repeat(1, 1, *y.shape[2:])


@IDIOMS("behind a dense layer", Vectors)
def bias_of_a_vector(net: Any, x: Tensor) -> Any:
    y = net.act(net.norm(net.first(x)))
    y = sign(y + net.shift.expand_as(y))
    return net.head(F.linear(y, sign(net.dense.weight)) * net.scale.expand(y.shape[0], 8))


@IDIOMS("behind a dense layer", Vectors)
def repeated_for_the_batch(net: Any, x: Tensor) -> Any:
    y = net.first(x) - net.shift.repeat(x.shape[0], 1)
    return net.norm(F.linear(sign(y), sign(net.dense.weight))) + net.scale.unsqueeze(0).repeat(x.size(0), 1)


@IDIOMS("behind a dense layer", Images)
def classifier_of_images(net: Any, x: Tensor) -> Any:
    y = F.adaptive_avg_pool2d(net.act(net.first(x)), 1).flatten(1)
    y = y + net.shift.flatten(1).expand(x.shape[0], -1)
    ones = torch.ones(x.shape[0], 8)
    return net.head(torch.where(y < 0, -ones, ones)) * net.vector[:5].expand(x.shape[0], 5)


@pytest.mark.parametrize(("make", "shape"), IDIOMS.cases)
def test_eager_and_captured_agree(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    check(make, shape)


def test_every_idiom_is_written_three_times() -> None:
    assert min(IDIOMS.counted().values()) >= 3
