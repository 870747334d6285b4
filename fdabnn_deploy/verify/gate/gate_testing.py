"""Networks for the tests of the gate, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fdabnn_deploy.exact.make_exact import Exact, make_exact
from fdabnn_deploy.frontend.capture import Captured, capture
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import FloatArray, Op
from fdabnn_deploy.transforms.deploy import Deployed, deploy
from fdabnn_deploy.verify.gate.layer_by_layer import check_layers
from fdabnn_deploy.verify.gate.results import LayerTable

SHAPE = (3, 12, 12)


class BinaryConv(nn.Conv2d):
    """Signs on both sides, zeros as +1, a scale per output channel."""

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.abs().mean(dim=(1, 2, 3), keepdim=True)
        weight = torch.where(self.weight < 0, -scale, scale)
        signs = torch.where(x < 0, -1.0, 1.0)
        return F.conv2d(signs, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class ReluSign(BinaryConv):
    """`torch.sign` behind a ReLU, where half of the values are 0."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(
            torch.sign(F.relu(x)), torch.where(self.weight < 0, -1.0, 1.0), None, self.stride, self.padding
        )


class Block(nn.Module):
    """A residual block with a float shortcut, PReLU, a pool that is no power of two, and joined halves."""

    def __init__(self, conv: type[BinaryConv]) -> None:
        super().__init__()
        self.conv1, self.norm1, self.act = conv(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU(8)
        self.conv2, self.norm2 = conv(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.shortcut = nn.Conv2d(8, 8, 1)
        self.pool = nn.AvgPool2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.act(self.norm1(self.conv1(x))) + x))
        joined: Tensor = self.pool(F.hardtanh(y + torch.cat([self.shortcut(x), x], dim=1), -2.5, 2.5))
        return joined


class Net(nn.Module):
    """Stem, block, a binary dense layer behind max pooling and flattening, and a classifier."""

    def __init__(self, conv: type[BinaryConv] = BinaryConv, classes: int = 10) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm, self.block = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), Block(conv)
        self.pool = nn.MaxPool2d(2)
        self.dense = nn.Parameter(torch.randn(24, 64))
        self.dense_norm, self.last = nn.BatchNorm1d(24), nn.Linear(24, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.block(self.norm(self.stem(x))))
        signs = torch.where(x.flatten(1) < 0, -1.0, 1.0)
        logits: Tensor = self.last(self.dense_norm(F.linear(signs, torch.sign(self.dense))))
        return logits


def trained(conv: type[BinaryConv] = BinaryConv, classes: int = 10) -> Net:
    """A network whose norms have seen some inputs."""
    net = Net(conv, classes)
    net.train()
    for seed in range(3):
        net(torch.from_numpy(images(16, seed)))
    return net.eval()


def images(count: int, seed: int = 7) -> FloatArray:
    """Normal values."""
    return np.random.default_rng(seed).standard_normal((count, *SHAPE)).astype(np.float32)


def deployed(conv: type[BinaryConv] = BinaryConv) -> tuple[Captured, Deployed, Exact]:
    """A trained network, captured, deployed and exact."""
    return _deployed(conv.__name__)


@cache
def _deployed(name: str) -> tuple[Captured, Deployed, Exact]:
    captured = capture(trained({"BinaryConv": BinaryConv, "ReluSign": ReluSign}[name]), SHAPE)
    found = deploy(captured)
    return captured, found, make_exact(found.graph, [images(16)])


def check(conv: type[BinaryConv] = BinaryConv, *, exact: bool = True, count: int = 4) -> LayerTable:
    """The layers of such a network."""
    captured, found, made = deployed(conv)
    graph, grids = (made.graph, made.grids) if exact else (found.graph, ())
    return check_layers(captured, found, graph, grids, images(count))


def check_spoilt(name: str, spoil: Callable[[Op], Op]) -> LayerTable:
    """The layers of a network of which one operator of the exact graph became another."""
    captured, found, made = deployed()
    nodes = [replace(node, op=spoil(node.op)) if node.name == name else node for node in made.graph]
    return check_layers(captured, found, Graph(nodes, made.graph.outputs), made.grids, images(4))
