from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.frontend.checkpoint.make_module import (
    build_architecture,
    call_factory,
    factory_parameters,
    factory_shape,
    find_factory,
    fitting_architectures,
    load_strictly,
    parse_arch_args,
)


def test_arguments_as_typed() -> None:
    pairs = [
        "num_classes=100",
        "bireal=true",
        "act=None",
        "scale=channel",
        "blocks=(1,2)",
        "text='7'",
        "a=b=c",
    ]
    assert parse_arch_args(pairs) == {
        "num_classes": 100,
        "bireal": True,
        "act": None,
        "scale": "channel",
        "blocks": (1, 2),
        "text": "7",
        "a": "b=c",
    }
    for wrong in ("num_classes", "=3", "a-b=3"):
        with pytest.raises(UsageError, match="NAME=VALUE"):
            parse_arch_args([wrong])


def test_architectures_and_their_arguments() -> None:
    assert build_architecture("resnet20", {"num_classes": 7}).state_dict()["linear.weight"].shape == (7, 64)
    with pytest.raises(UsageError, match="did you mean 'resnet20'"):
        build_architecture("resnet21", {})
    with pytest.raises(UsageError, match=r"unexpected keyword argument 'depth'; it takes num_classes=10"):
        build_architecture("resnet20", {"depth": 20})
    with pytest.raises(ModelRefusedError, match=r"failed with .*scale is 'tensor' or 'channel'"):
        build_architecture("resnet20", {"scale": "row"}, blame=ModelRefusedError)


NETS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.fc = nn.Linear(3, width)

class Nets:
    small = Small

ready = Small(5)
number = 3

def broken():
    raise RuntimeError("no luck")

def none():
    return None
"""


def build_from_factory(spec: str, args: dict[str, Any]) -> nn.Module:
    return call_factory(find_factory(spec), f"--model {spec}", args)


def test_the_users_own_factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_nets_x.py").write_text(NETS)
    (tmp_path / "own_broken_x.py").write_text("import package_that_nobody_has\n")
    (tmp_path / "own_syntax_x.py").write_text("def f(:\n")
    monkeypatch.chdir(tmp_path)
    assert build_from_factory("own_nets_x:Small", {"width": 7}).get_parameter("fc.weight").shape == (7, 3)
    assert build_from_factory("own_nets_x:Nets.small", {}).get_parameter("fc.weight").shape == (4, 3)
    assert build_from_factory("own_nets_x:ready", {}).get_parameter("fc.weight").shape == (5, 3)
    for spec, args, text in (
        ("own_nets_x", {}, "package.module:factory"),
        ("nets/own.py:Small", {}, "package.module:factory"),
        ("nowhere_x:Small", {}, "there is no module 'nowhere_x' .looked in"),
        ("own_broken_x:Small", {}, "there is no module 'package_that_nobody_has'$"),
        ("own_syntax_x:f", {}, "importing own_syntax_x failed: SyntaxError"),
        ("own_nets_x:Large", {}, "has no 'Large'"),
        ("own_nets_x:number", {}, "is a int, not a function"),
        ("own_nets_x:broken", {}, "RuntimeError: no luck"),
        ("own_nets_x:none", {}, "gave a NoneType"),
        ("own_nets_x:ready", {"width": 3}, "takes no arguments"),
        ("own_nets_x:Small", {"depth": 3}, "unexpected keyword argument 'depth'; it takes width=4"),
    ):
        with pytest.raises(UsageError, match=text):
            build_from_factory(spec, args)


def net(classes: int = 10, width: int = 4, extra: bool = False) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.Conv2d(width, classes, 1)]
    return nn.Sequential(*layers, *([nn.Conv2d(classes, classes, 1)] if extra else []))


def load(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    load_strictly(module, state, "a.pt", "net", None)


def test_weights_are_copied_through_prefixes_and_without_batch_counts() -> None:
    trained, fresh = net(), net()
    state = {
        f"module.{k}": v for k, v in trained.state_dict().items() if not k.endswith("num_batches_tracked")
    }
    load(fresh, state)
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in fresh.state_dict().items())


@pytest.mark.parametrize(
    ("state", "texts"),
    [
        (
            net(classes=100).state_dict(),
            ["other shapes (2)", "2.weight is [100, 4, 1, 1], not [10", "num_classes=100"],
        ),
        (net(width=8).state_dict(), ["other shapes (7)", "other widths"]),
        (
            {**net().state_dict(), "2.weight": torch.ones(4, 10, 1, 1), "2.bias": torch.ones(4)},
            ["2.weight is [4, 10, 1, 1], not [10, 4, 1, 1]", "other widths"],
        ),
        (
            {**net().state_dict(), "2.weight": torch.ones(7, 4, 1, 1), "2.bias": torch.ones(6)},
            ["2.bias is [6], not [10]", "other widths"],
        ),
        ({**net().state_dict(), "2.weight": torch.ones(7, 4)}, ["2.weight is [7, 4]", "other widths"]),
        (net(extra=True).state_dict(), ["extra (2): 3.weight, 3.bias", "more layers than the network"]),
        (
            {k: v for k, v in net().state_dict().items() if k[0] != "2"},
            ["missing (2): 2.weight, 2.bias", "incomplete"],
        ),
        ({"a.b": torch.ones(1)}, ["missing (8)", "extra (1): a.b", "no key is the same"]),
        ({**net().state_dict(), "0.weight": torch.ones(())}, ["0.weight is [], not [4, 3, 1, 1]"]),
    ],
)
def test_what_does_not_fit_is_listed_with_its_likeliest_cause(
    state: dict[str, torch.Tensor], texts: list[str]
) -> None:
    module = net()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(ModelRefusedError) as error:
        load(module, state)
    for text in ["a.pt does not fit net", *texts]:
        assert text in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("parameters", "advice"),
    [
        (("width", "num_classes"), "100 in the file, 10 in the network: --arch-arg num_classes=100"),
        (("classes",), "--arch-arg classes=100"),
        (("depth", "nClasses"), "--arch-arg nClasses=100"),
        (("depth", "width"), "the factory takes depth, width"),
        ((), "give a factory that makes 100"),
    ],
)
def test_the_argument_for_the_classes_is_the_factorys_own(parameters: tuple[str, ...], advice: str) -> None:
    with pytest.raises(ModelRefusedError) as error:
        load_strictly(net(), net(classes=100).state_dict(), "a.pt", "net", None, parameters)
    assert advice in str(error.value)


def test_what_a_factory_says_of_itself() -> None:
    def make(classes: int = 3, *, width: int = 4) -> nn.Module:
        return net(classes, width)

    make.input_shape = (3, 8, 8)  # type: ignore[attr-defined]
    assert factory_parameters(make) == ("classes", "width")
    assert factory_shape(make) == factory_shape(functools.partial(make, width=7)) == (3, 8, 8)
    assert factory_parameters(net()) == ()
    assert factory_shape(net) is None


def test_more_beside_a_complete_network_is_not_taken_for_another_one() -> None:
    state = {f"backbone.{k}": v for k, v in net().state_dict().items()}
    with pytest.raises(ModelRefusedError, match="the network is complete; the file has more beside it"):
        load(net(), {**state, "head.fc.weight": torch.ones(2, 2)})


def test_what_is_missing_under_a_prefix_is_said_with_it() -> None:
    state = {f"backbone.{k}": v for k, v in net().state_dict().items() if k != "2.bias"}
    with pytest.raises(ModelRefusedError) as error:
        load(net(), state)
    assert "missing (1): 2.bias" in str(error.value)
    assert "8 of the network's 9 tensors are there, under the prefix 'backbone.'" in str(error.value)


def test_the_architecture_that_would_fit_is_named() -> None:
    state = build_architecture("resnet20", {}).state_dict()
    assert fitting_architectures({f"module.{k}": v for k, v in state.items()}) == [
        "resnet20",
        "resnet20_bireal",
    ]
    with pytest.raises(ModelRefusedError, match="fit resnet20 and resnet20_bireal: choose with --arch"):
        load(net(), state)


class Late(nn.Module):
    """Makes a part of itself in its first forward pass, as BiBench's layers do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.LazyLinear(2)
        self.late: nn.Module | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.late is None:
            self.late = nn.Linear(x.shape[1], x.shape[1])
        result: torch.Tensor = self.fc(self.late(x))
        return result


def test_modules_that_grow_in_their_first_forward_pass() -> None:
    trained = Late()
    x = torch.randn(2, 3)
    expected: Any = trained(x)
    fresh = Late()
    load_strictly(fresh, trained.state_dict(), "a.pt", "net", torch.zeros(1, 3))
    torch.testing.assert_close(fresh(x), expected)
    with pytest.raises(ModelRefusedError, match="--input-shape"):
        load_strictly(nn.Sequential(nn.LazyConv2d(1, 3)), {"0.w": x}, "a.pt", "net", torch.zeros(1, 3))
