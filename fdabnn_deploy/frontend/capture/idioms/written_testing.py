"""Networks of a few layers whose forward() is a function, with trained-looking values, and the check that each of them is captured.

A file of idioms registers functions of (network, x), or whole classes, by the name of their idiom:

    IDIOMS = Idioms()

    @IDIOMS("expand_as", Images)
    def shifted(net: Any, x: Tensor) -> Any: ...
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fdabnn_deploy.frontend.capture import Captured, capture
from fdabnn_deploy.frontend.checkpoint import from_module
from fdabnn_deploy.frontend.checkpoint.copying import copy_module
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.deploy import deploy

Forward = Callable[[Any, Tensor], Any]
CLOSE = 1e-5


def sign(x: Tensor) -> Tensor:
    return torch.where(x < 0, -1.0, 1.0)


def trained(*shape: int, around: float = 0.0) -> nn.Parameter:
    """A parameter as training leaves it: all its values differ."""
    return nn.Parameter(torch.randn(*shape) * 0.3 + around)


class Net(nn.Module):
    """Layers that a subclass makes, and `own`, the function that is its forward()."""

    shape: tuple[int, ...] = ()

    def __init__(self, own: Forward) -> None:
        super().__init__()
        self.own = own
        self.make()

    def make(self) -> None:
        """Makes the layers."""

    def forward(self, x: Tensor) -> Any:
        return self.own(self, x)


class Images(Net):
    shape = (3, 8, 8)

    def make(self) -> None:
        self.first, self.norm, self.act = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.PReLU(8)
        self.conv, self.pointwise = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 16, 1, bias=False)
        self.shift, self.scale, self.vector = (
            trained(1, 8, 1, 1),
            trained(8, 1, 1, around=1),
            trained(8, around=1),
        )
        self.head = nn.Linear(8, 5)


class Sequences(Net):
    shape = (4, 12)

    def make(self) -> None:
        self.first, self.norm, self.act = nn.Conv1d(4, 8, 3, padding=1), nn.BatchNorm1d(8), nn.PReLU()
        self.conv, self.pointwise = nn.Conv1d(8, 8, 3, padding=1), nn.Conv1d(8, 16, 1, bias=False)
        self.shift, self.scale, self.vector = trained(1, 8, 1), trained(8, 1, around=1), trained(8, around=1)
        self.head = nn.Linear(8, 5)


class Vectors(Net):
    shape = (12,)

    def make(self) -> None:
        self.first, self.norm, self.act = nn.Linear(12, 8), nn.BatchNorm1d(8), nn.PReLU(8)
        self.dense, self.shift, self.scale, self.head = (
            nn.Linear(8, 8),
            trained(1, 8),
            trained(8, around=1),
            nn.Linear(8, 5),
        )


class Tokens(Net):
    shape = (6, 4)

    def make(self) -> None:
        self.first, self.norm, self.act = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.PReLU(8)
        self.dense, self.shift, self.scale, self.head = (
            nn.Linear(8, 8, bias=False),
            trained(8),
            trained(1, 1, 8, around=1),
            nn.Linear(8, 5),
        )


class Idioms:
    """The idioms of a file: their names, and how their modules are made."""

    def __init__(self) -> None:
        self.cases: list[Any] = []

    def __call__(self, idiom: str, layers: type[Net] | None = None) -> Callable[[Any], Any]:
        """Registers a function as the forward() of a network with these layers, or, without layers, a class with `shape`."""

        def register(own: Any) -> Any:
            make = own if layers is None else lambda: layers(own)
            shape = (own if layers is None else layers).shape
            self.cases.append(pytest.param(make, shape, id=f"{idiom}: {own.__name__}"))
            return own

        return register

    def counted(self) -> Counter[str]:
        """How many modules each idiom has."""
        return Counter(case.id.partition(":")[0] for case in self.cases)


def make_trained(make: Callable[[], nn.Module]) -> nn.Module:
    """A module in eval mode, with statistics, slopes and biases that are not those of a new one."""
    torch.manual_seed(0)
    net = make()
    with torch.no_grad():
        for child in net.modules():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                nn.init.normal_(child.running_mean, 0, 0.3)  # type: ignore[arg-type]
                nn.init.uniform_(child.running_var, 0.3, 2)  # type: ignore[arg-type]
                if child.affine:
                    nn.init.uniform_(child.weight, 0.5, 1.5)
                    child.weight[::3] *= -1
                    nn.init.normal_(child.bias, 0, 0.3)
            elif isinstance(child, nn.PReLU):
                nn.init.uniform_(child.weight, 0.1, 0.4)
    return net.eval()


def fingerprint(net: nn.Module) -> dict[str, str]:
    """Hashes of all values of a module, and its attributes, hooks and modes as text."""
    found = {}
    for path, child in net.named_modules():
        tensors = {**child._parameters, **child._buffers}
        tensors |= {name: value for name, value in vars(child).items() if isinstance(value, Tensor)}
        for name, tensor in tensors.items():
            if tensor is not None:
                values = tensor.detach().numpy()
                digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
                found[f"{path}.{name}"] = (
                    f"{digest} {id(tensor)} {tensor.requires_grad} {tensor.data_ptr()} {sorted(vars(tensor))}"
                )
        rest = {name: value for name, value in vars(child).items() if name not in tensors}
        found[path] = f"{type(child)} {rest}"
    return found


def check(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> Captured:
    """Asserts that eager and captured outputs agree, also for another batch than the traced one, and that the module is as before."""
    net = make_trained(make)
    before = fingerprint(net)
    source = from_module(net, torch.zeros(1, *shape))
    captured = capture(source.module, shape, without_softmax=True)
    graph = deploy(captured, exact=True).graph
    assert fingerprint(net) == before
    for batch in (2, 5, 1):
        x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(batch))
        own = copy_module(source.module, "it")
        with torch.no_grad():
            returned = torch.utils._pytree.tree_leaves(own(x.clone()))
        for computed in (evaluate(captured.graph, [x.numpy()]), evaluate(graph, [x.numpy()])):
            for value, position in zip(computed, captured.outputs, strict=True):
                torch.testing.assert_close(
                    torch.from_numpy(value), returned[position], rtol=CLOSE, atol=CLOSE
                )
    return captured
