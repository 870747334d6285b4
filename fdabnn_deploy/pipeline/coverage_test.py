from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.pipeline.coverage import AllowedFloat, check_coverage
from fdabnn_deploy.transforms.deploy import LayerCoverage


def layer(module: str, *, one_bit: bool = False, expected: bool = False, half: str = "") -> LayerCoverage:
    return LayerCoverage(
        module, "conv2d", (8, 8, 3, 3), int(one_bit), expected, "a reason", "a remedy", "", half
    )


NETWORK = nn.ModuleDict(
    {"layer1": nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)), "fc": nn.Linear(8, 2)}
)
LAYERS = [layer("layer1.0"), layer("layer1.1", one_bit=True, expected=True), layer("fc", expected=True)]


@pytest.mark.parametrize(
    "asked", ["fc", ["fc"], "layer1.0, fc", ["layer1.0,fc"], "f*", "*", ["layer1.?", "fc"], ("fc", "fc")]
)
def test_lists_and_patterns_allow_layers(asked: str | list[str]) -> None:
    allowed = AllowedFloat(asked)
    allowed.check_module(NETWORK)
    assert [row.module for row in check_coverage(LAYERS, allowed)] == ["layer1.0", "layer1.1", "fc"]


def test_what_is_allowed_is_marked() -> None:
    marked = {row.module: row.allowed_float for row in check_coverage(LAYERS, AllowedFloat("fc"))}
    assert marked == {"layer1.0": False, "layer1.1": False, "fc": True}


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("layer1.O", r"--allow-float layer1\.O: no such layer; did you mean layer1\.[01]"),
        ("zzz", "--allow-float zzz: no such layer$"),
        (["fc", "layer2.*"], r"--allow-float layer2\.\*: no layer has such a name"),
    ],
)
def test_unknown_names_are_an_error_before_the_capture(asked: str | list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AllowedFloat(asked).check_module(NETWORK)


def test_a_module_that_is_no_layer_is_an_error_afterwards() -> None:
    allowed = AllowedFloat("layer1")
    allowed.check_module(NETWORK)
    with pytest.raises(UsageError, match="no such layer; did you mean layer1"):
        check_coverage(LAYERS, allowed)


def test_a_lost_layer_is_refused_by_name() -> None:
    with pytest.raises(
        ModelRefusedError,
        match=r"1 binary layer would become float:\n  fc: a reason; a remedy\n.*--allow-float LAYER",
    ):
        check_coverage(LAYERS, AllowedFloat(()))
    with pytest.raises(ModelRefusedError, match="1 binary layer would"):
        check_coverage(LAYERS, AllowedFloat("layer1.0"))


@pytest.mark.parametrize(
    ("halves", "message"),
    [
        (("", ""), "none of its 2 layers has a sign in front or binary weights"),
        (
            ("activations", ""),
            r"only activations are binary, no layer's weights are\n  a: a reason.*\nwhere the trainer binarises",
        ),
        (("", "weights"), r"only weights are binary, no layer's input is a sign\n  b: a reason"),
        (("activations", "weights"), "no layer has both"),
    ],
)
def test_a_network_without_a_binary_layer_is_refused(halves: tuple[str, str], message: str) -> None:
    layers = [layer("a", half=halves[0]), layer("b", half=halves[1])]
    with pytest.raises(ModelRefusedError, match=message) as raised:
        check_coverage(layers, AllowedFloat("a"))
    assert "this is not a binary network" in str(raised.value)
    assert "--allow-float '*'" in str(raised.value)
    assert len(check_coverage(layers, AllowedFloat("*"))) == 2
    assert len(check_coverage(layers, AllowedFloat("a,b"))) == 2


def test_a_network_whose_only_binary_layer_may_be_float_passes() -> None:
    assert len(check_coverage([layer("a"), layer("b", expected=True)], AllowedFloat("b"))) == 2


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(ModelRefusedError, match="it has no convolution or dense layer"):
        check_coverage([], AllowedFloat(()))
    assert check_coverage([], AllowedFloat("*")) == ()


def test_long_lists_are_cut() -> None:
    layers = [layer(f"a{i}", half="weights") for i in range(20)]
    with pytest.raises(ModelRefusedError, match="  and 12 more"):
        check_coverage(layers, AllowedFloat(()))


def test_a_lost_layer_is_named_with_its_statement() -> None:
    lost = replace(layer("fc", expected=True), place="at net.py:7 (`return F.linear(x, w)`)")
    with pytest.raises(
        ModelRefusedError, match=r"fc, conv2d at net\.py:7 \(`return F\.linear\(x, w\)`\): a reason"
    ):
        check_coverage([lost], AllowedFloat(()))
