"""Tokens, sequences and points: dense layers on more than two dimensions, rows of tokens, and pools along dimensions."""

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
    check,
    sign,
    trained,
)
from fdabnn_deploy.transforms.deploy import deploy

IDIOMS = Idioms()


@IDIOMS("dense on tokens", Tokens)
def mixer(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = y + net.act((F.linear(sign(y), sign(net.dense.weight)) * net.scale).transpose(1, 2)).transpose(1, 2)
    return net.head(y)


@IDIOMS("dense on tokens", Images)
def patches(net: Any, x: Tensor) -> Any:
    y = net.first(x).flatten(2).transpose(-2, -1)
    return F.linear(sign(y), sign(net.head.weight), net.head.bias).permute(0, 2, 1).reshape(-1, 5, 8, 8)


@IDIOMS("dense on tokens", Images)
def channels_last(net: Any, x: Tensor) -> Any:
    y = net.first(x).permute(0, 2, 3, 1).contiguous()
    y = torch.matmul(sign(y), sign(net.head.weight).t()) + net.head.bias
    return y.permute(0, 3, 1, 2)


@IDIOMS("view(-1, C) and back", Tokens)
def norm_of_rows(net: Any, x: Tensor) -> Any:
    n, t, c = x.shape
    rows = net.norm(net.first(x.reshape(-1, c)))
    return net.head(F.linear(sign(rows), sign(net.dense.weight)).view(n, t, 8).mean(dim=1))


@IDIOMS("view(-1, C) and back", Images)
def rows_of_pixels(net: Any, x: Tensor) -> Any:
    y = net.act(net.norm(net.first(x))).permute(0, 2, 3, 1)
    shape = y.shape
    rows = F.linear(sign(y.reshape(-1, shape[-1])), sign(net.head.weight)) * 0.1
    return rows.view(*shape[:-1], -1).permute(0, 3, 1, 2)


@IDIOMS("view(-1, C) and back")
class FoldedLayers(nn.Module):
    """Layers on rows, with the number of rows written in another way each time."""

    shape = (2, 3, 4)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Hardtanh())
        self.weight, self.head = trained(8, 8), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Any:
        b, p, q, c = x.size()
        y = self.first(x.view(b * p * q, c))
        y = F.linear(torch.sign(y), torch.sign(self.weight)) + y
        y = y.view(b, p, q, -1)
        return self.head(y.view(-1, 8)).view(b, p * q, 5)


@IDIOMS("Conv1d", Sequences)
def residual(net: Any, x: Tensor) -> Any:
    y = net.act(net.norm(net.first(x)))
    y = y + F.conv1d(sign(y), sign(net.conv.weight), padding="same")
    return net.head(F.avg_pool1d(y, 12).squeeze(-1))


@IDIOMS("Conv1d")
class Audio(nn.Sequential):
    shape = (1, 64)

    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(1, 8, 9, 2, 4), nn.BatchNorm1d(8), nn.ReLU6(), SignConv1d(8, 16, 5, 2, dilation=2), nn.BatchNorm1d(16), nn.PReLU(16),
            nn.MaxPool1d(2), SignConv1d(16, 8, 3, groups=2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 4),
        )  # fmt: skip


class SignConv1d(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self._conv_forward(sign(x), sign(self.weight), None)
        return result


@IDIOMS("Conv1d")
class PointsAsPixels(nn.Module):
    """A 1-D layer beside a 2-D one of the same tensor."""

    shape = (3, 10)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.flat, self.square = (
            nn.Conv1d(3, 8, 1),
            nn.Conv1d(8, 8, 1, bias=False),
            nn.Conv2d(8, 8, (3, 1), padding=(1, 0)),
        )

    def forward(self, x: Tensor) -> Any:
        y = sign(self.first(x))
        flat = F.conv1d(y, sign(self.flat.weight))
        square = F.conv2d(y.unsqueeze(-1), sign(self.square.weight), padding=(1, 0)).squeeze(-1)
        return flat * 0.3 + square


@IDIOMS("amax", Images)
def of_places(net: Any, x: Tensor) -> Any:
    return net.head(net.norm(F.conv2d(sign(net.first(x)), sign(net.conv.weight))).amax(dim=(2, 3)))


@IDIOMS("amax", Tokens)
def of_tokens(net: Any, x: Tensor) -> Any:
    y = F.linear(sign(net.first(x)), sign(net.dense.weight)) * net.scale
    return net.head(
        torch.amax(y, 1) - y.amin(1) + y.max(dim=1)[0] + torch.max(y, 1, keepdim=True)[0].squeeze(1)
    )


@IDIOMS("amax")
class PointNet(nn.Module):
    shape = (3, 20)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8)
        self.second, self.norm2, self.fc = (
            nn.Conv1d(8, 16, 1, bias=False),
            nn.BatchNorm1d(16),
            nn.Linear(16, 4),
        )

    def forward(self, x: Tensor) -> Any:
        y = F.relu(self.norm(self.first(x)))
        y = self.norm2(F.conv1d(torch.sign(y - y.amax(1, keepdim=True) / 2), torch.sign(self.second.weight)))
        y = torch.max(y, 2, keepdim=True)[0]
        return F.log_softmax(self.fc(y.view(-1, 16)), dim=-1)


@IDIOMS("AdaptiveMaxPool", Images)
def of_all_places(net: Any, x: Tensor) -> Any:
    y = F.conv2d(sign(net.first(x)), sign(net.conv.weight), padding=1)
    return net.head(F.adaptive_max_pool2d(y, 1).flatten(1) * 0.1) + net.head(
        nn.AdaptiveMaxPool2d((1, 1))(y)[:, :, 0, 0]
    )


@IDIOMS("AdaptiveMaxPool", Sequences)
def of_a_sequence(net: Any, x: Tensor) -> Any:
    y = net.act(F.conv1d(sign(net.first(x)), sign(net.conv.weight), padding=1))
    return net.head(F.adaptive_max_pool1d(y, 1).squeeze()) + net.head(F.adaptive_max_pool1d(y, 3).mean(-1))


@IDIOMS("AdaptiveMaxPool", Images)
def before_a_sign(net: Any, x: Tensor) -> Any:
    y = sign(F.adaptive_max_pool2d(net.first(x), (4, 2)))
    return net.norm(F.conv2d(y, sign(net.conv.weight), padding=1))


@IDIOMS("mean of points", Sequences)
def less_the_largest(net: Any, x: Tensor) -> Any:
    y = net.norm(F.conv1d(sign(net.first(x)), sign(net.conv.weight)))
    return net.head(y.mean(-1)) - net.head(y.max(-1).values)


@IDIOMS("mean of points", Tokens)
def of_pooled_tokens(net: Any, x: Tensor) -> Any:
    y = net.dense(sign(net.first(x)))
    return net.head(torch.mean(y, dim=1, keepdim=True)).flatten(1) + net.head(y.transpose(1, 2).mean(2))


@IDIOMS("mean of points", Images)
def in_two_steps(net: Any, x: Tensor) -> Any:
    y = F.conv2d(sign(net.first(x)), sign(net.conv.weight), padding=1)
    return (
        net.head(y.mean(3).mean(2))
        + net.head(y.view(y.size(0), y.size(1), -1).mean(2))
        + net.head(y.mean([-2, -1]))
    )


@IDIOMS("sum((2, 3))", Images)
def of_the_image(net: Any, x: Tensor) -> Any:
    y = net.act(F.conv2d(sign(net.first(x)), sign(net.conv.weight)))
    return net.head(y.sum((2, 3)) / (y.shape[2] * y.shape[3]))


@IDIOMS("sum((2, 3))", Images)
def of_rows_and_columns(net: Any, x: Tensor) -> Any:
    y = net.norm(net.first(x))
    return (
        y.sum(dim=[2, 3], keepdim=True) * 0.01 + torch.sum(y, 3, keepdim=True) * 0.1 - y.sum(2).unsqueeze(2)
    )


@IDIOMS("sum((2, 3))", Sequences)
def of_a_binary_layer(net: Any, x: Tensor) -> Any:
    y = F.conv1d(sign(net.first(x)), sign(net.conv.weight))
    return net.head(torch.sum(y, (-1,))) + net.head(y.sum(2) / y.shape[2]) + net.head(y[..., 0])


@IDIOMS("windows by unfold", Images)
def matrix_in_front(net: Any, x: Tensor) -> Any:
    columns = F.unfold(sign(net.first(x)), 3, padding=1)
    return (sign(net.conv.weight).view(8, -1) @ columns).view(-1, 8, 8, 8) * net.scale


@IDIOMS("windows by unfold", Images)
def rows_and_fold(net: Any, x: Tensor) -> Any:
    rows = F.unfold(sign(net.first(x)), kernel_size=3, stride=2).transpose(1, 2)
    y = rows.matmul(sign(net.conv.weight).view(8, -1).t()).transpose(1, 2)
    return net.norm(F.fold(y, (3, 3), (1, 1)))


@IDIOMS("windows by unfold", Images)
def einsum_of_windows(net: Any, x: Tensor) -> Any:
    columns = nn.Unfold(3)(sign(net.first(x)))
    return torch.einsum("bkl,ok->bol", columns, sign(net.conv.weight).flatten(1)).unflatten(2, (6, 6))


@pytest.mark.parametrize(("make", "shape"), IDIOMS.cases)
def test_eager_and_captured_agree(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    captured = check(make, shape)
    assert all(layer.binary_layers for layer in deploy(captured).coverage if layer.expected)


def test_every_idiom_is_written_three_times() -> None:
    assert min(IDIOMS.counted().values()) >= 3
