"""`.data` in forward(), as in the code of BinaryNet, XNOR-Net and what was made of them."""

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
)

IDIOMS = Idioms()


@IDIOMS("read", Images)
def of_both_sides(net: Any, x: Tensor) -> Any:
    y = net.norm(net.first(x))
    return F.conv2d(y.data.sign(), net.conv.weight.data.sign(), net.conv.bias.data)


@IDIOMS("read", Vectors)
def scale_of_a_dense_layer(net: Any, x: Tensor) -> Any:
    scale = net.dense.weight.data.abs().mean(1)
    return net.head(F.linear(sign(net.first(x)), net.dense.weight.data.sign()) * scale)


@IDIOMS("read", Sequences)
def straight_through(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y = (sign(y) - y.clamp(-1, 1)).data + y.clamp(-1, 1)
    centred = net.conv.weight - net.conv.weight.data.mean((1, 2), keepdim=True)
    return net.act(F.conv1d(y, sign(centred)))


class BinarizeConv2d(nn.Conv2d):
    """As in BinaryNet.pytorch."""

    def forward(self, x: Tensor) -> Tensor:
        if x.size(1) != 3:
            x.data = x.data.sign()
        if not hasattr(self.weight, "org"):
            self.weight.org = self.weight.data.clone()  # type: ignore[attr-defined]
        self.weight.data = self.weight.org.sign()  # type: ignore[attr-defined]
        out = F.conv2d(x, self.weight, None, self.stride, self.padding)
        if self.bias is not None:
            self.bias.org = self.bias.data.clone()  # type: ignore[attr-defined]
            out += self.bias.view(1, -1, 1, 1).expand_as(out)
        return out


class BinarizeLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        x.data = x.data.sign()
        if not hasattr(self.weight, "org"):
            self.weight.org = self.weight.data.clone()  # type: ignore[attr-defined]
        self.weight.data = self.weight.org.sign()  # type: ignore[attr-defined]
        out = F.linear(x, self.weight)
        if self.bias is not None:
            self.bias.org = self.bias.data.clone()  # type: ignore[attr-defined]
            out += self.bias.view(1, -1).expand_as(out)
        return out


@IDIOMS("assigned")
class BinaryNet(nn.Module):
    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            BinarizeConv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Hardtanh(inplace=True), BinarizeConv2d(8, 8, 3), nn.MaxPool2d(2),
            nn.BatchNorm2d(8), nn.Hardtanh(inplace=True),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            BinarizeLinear(72, 16), nn.BatchNorm1d(16), BinarizeLinear(16, 5), nn.LogSoftmax(1)
        )

    def forward(self, x: Tensor) -> Any:
        return self.classifier(self.features(x).view(-1, 72))


@IDIOMS("assigned", Sequences)
def weight_and_input_in_a_loop(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    for layer in (net.conv, net.pointwise):
        y.data = torch.where(y.data < 0, -1.0, 1.0)
        layer.weight.data = sign(layer.weight.data)
        y = layer(y)
    return y


@IDIOMS("assigned")
class InAHook(nn.Module):
    """Binarises the weights of its layers before every call."""

    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv, self.head = (
            nn.Conv2d(3, 8, 3),
            nn.Conv2d(8, 8, 3, bias=False),
            nn.Linear(128, 5),
        )
        self.register_forward_pre_hook(binarise_layers)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.conv(sign(self.first(x))).flatten(1))


def binarise_layers(net: Any, given: Any) -> None:
    net.conv.weight.data = sign(net.conv.weight.data)


@IDIOMS("assigned")
class HookOfTheModel(nn.Sequential):
    """The same from outside, on weights and on the input; a hook behind the model that scales its output."""

    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8))

        def before(net: Any, given: tuple[Tensor]) -> None:
            (x,) = given
            x.data = sign(x)
            net[0].weight.data = sign(net[0].weight)

        def behind(net: Any, given: Any, returned: Tensor) -> None:
            returned.data = returned.data * 2

        self.register_forward_pre_hook(before)
        self.register_forward_hook(behind)


@IDIOMS("clamp_", Images)
def of_the_latent_weight(net: Any, x: Tensor) -> Any:
    net.conv.weight.data.clamp_(-0.05, 0.05)
    scale = net.conv.weight.data.norm(1, 3, keepdim=True).sum((1, 2), keepdim=True) / 72
    return F.conv2d(sign(net.first(x)), net.conv.weight.sign() * scale.expand_as(net.conv.weight))


@IDIOMS("clamp_", Vectors)
def of_an_activation(net: Any, x: Tensor) -> Any:
    y = net.first(x)
    y.data.clamp_(min=-0.4).clamp_(max=0.3)
    net.dense.weight.data.clamp_(-0.1, 0.1)
    return net.head(y) + net.dense(sign(y))[:, :5]


@IDIOMS("clamp_", Tokens)
def of_every_parameter(net: Any, x: Tensor) -> Any:
    for parameter in net.parameters():
        parameter.data.clamp_(-0.2, 0.2)
    return net.head(net.dense(sign(net.first(x))))


@IDIOMS("copy_", Images)
def saved_and_restored(net: Any, x: Tensor) -> Any:
    saved = net.conv.weight.data.clone()
    net.conv.weight.data.copy_(sign(net.conv.weight.data))
    y = net.conv(sign(net.first(x)))
    net.conv.weight.data.copy_(saved)
    return y + net.conv(x.repeat(1, 3, 1, 1)[:, :8])


@IDIOMS("copy_", Vectors)
def signs_of_a_dense_layer(net: Any, x: Tensor) -> Any:
    net.dense.weight.data.copy_(net.dense.weight.data.sign().mul(net.dense.weight.data.abs().mean()))
    y = net.first(x)
    y.data.copy_(sign(y.data))
    return net.head(net.dense(y))


@IDIOMS("copy_")
class MeanCentred(nn.Module):
    """XNOR-Net's BinOp: keeps the weights, centres, clamps and binarises them, runs, and puts them back."""

    shape = (4, 12)

    def __init__(self) -> None:
        super().__init__()
        self.first, self.layers = nn.Conv1d(4, 8, 1), nn.ModuleList([nn.Conv1d(8, 8, 3), nn.Conv1d(8, 8, 3)])
        self.saved = [parameter.data.clone() for parameter in self.layers.parameters() if parameter.dim() > 1]

    def binarise(self) -> None:
        for index, layer in enumerate(self.layers):
            weight: Any = layer.weight
            self.saved[index].copy_(weight.data)
            weight.data = weight.data.add(weight.data.mean(1, keepdim=True).mul(-1).expand_as(weight.data))
            weight.data.clamp_(-1.0, 1.0)
            scale = weight.data.norm(1, 2, keepdim=True).sum(1, keepdim=True).div(weight.data[0].nelement())
            weight.data = weight.data.sign().mul(scale.expand(weight.data.size()))

    def restore(self) -> None:
        layer: Any
        for index, layer in enumerate(self.layers):
            layer.weight.data.copy_(self.saved[index])

    def forward(self, x: Tensor) -> Any:
        self.binarise()
        x = self.first(x)
        for index in range(len(self.layers)):
            x = self.layers[index](x.sign())
        self.restore()
        return x


@IDIOMS("copy_")
class BinaryConnect(nn.Module):
    """Keeps the parameters that it binarises in lists, as XNOR-Net's BinOp and BinaryConnect's BC do."""

    shape = (3, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(128, 5)
        )
        self.saved, self.targets = list[Tensor](), list[Tensor]()
        for module in list(self.model.modules())[2:-1]:
            if isinstance(module, nn.Conv2d | nn.Linear):
                self.saved.append(module.weight.data.clone())
                self.targets.append(module.weight)

    def forward(self, x: Tensor) -> Any:
        for saved, target in zip(self.saved, self.targets, strict=True):
            saved.copy_(target.data)
            target.data = target.data.sign()
        x = self.model[2:](sign(self.model[:2](x)))
        for saved, target in zip(self.saved, self.targets, strict=True):
            target.data.copy_(saved)
        return x


@IDIOMS("bias.org =", Images)
def kept_with_the_bias(net: Any, x: Tensor) -> Any:
    net.conv.bias.org = net.conv.bias.data.clone()
    net.conv.bias.data = net.conv.bias.org * 2
    return net.norm(net.conv(sign(net.first(x))))


@IDIOMS("bias.org =", Vectors)
def made_once(net: Any, x: Tensor) -> Any:
    for layer in (net.first, net.dense):
        if layer.bias is not None and getattr(layer.bias, "org", None) is None:
            layer.bias.org = layer.bias.data.clone()
    y = F.linear(sign(net.first(x)), sign(net.dense.weight))
    y += net.dense.bias.org.view(1, -1).expand_as(y)
    return net.head(y)


@IDIOMS("bias.org =", Sequences)
def with_weight_org(net: Any, x: Tensor) -> Any:
    layer = net.conv
    layer.weight.org, layer.bias.org = layer.weight.data.clone(), layer.bias.data.clone()
    layer.weight.data, layer.bias.data = sign(layer.weight.org), layer.bias.org.round(decimals=2)
    y = layer(sign(net.first(x)))
    layer.weight.data, layer.bias.data = layer.weight.org, layer.bias.org
    return y


@pytest.mark.parametrize(("make", "shape"), IDIOMS.cases)
def test_eager_and_captured_agree(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    check(make, shape)


def test_every_idiom_is_written_three_times() -> None:
    assert min(IDIOMS.counted().values()) >= 3
