from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from fdabnn_deploy.errors import UsageError
from fdabnn_models.architectures.alexnet import alexnet
from fdabnn_models.architectures.registry import architecture_names, find_architecture
from fdabnn_models.architectures.resnet18 import resnet18
from fdabnn_models.architectures.resnet_cifar import resnet20, resnet20_bireal, shortcut_a
from fdabnn_models.architectures.vgg_small import vgg_small
from fdabnn_models.layers.binary import FDAConv2d, FDALinear

Factory = Callable[..., nn.Module]
CASES = [
    pytest.param(resnet20, 18, 10, id="resnet20"),
    pytest.param(resnet20_bireal, 18, 10, id="resnet20_bireal"),
    pytest.param(vgg_small, 5, 10, id="vgg_small"),
    pytest.param(resnet18, 16, 1000, id="resnet18"),
    pytest.param(alexnet, 6, 1000, id="alexnet"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("factory", "binary_layers", "classes"), CASES)
def test_network_exports_and_computes_the_same(factory: Factory, binary_layers: int, classes: int) -> None:
    torch.manual_seed(0)
    model = factory().eval()
    shape: tuple[int, int, int] = model.get_submodule("").input_shape  # type: ignore[assignment]
    assert sum(isinstance(m, (FDAConv2d, FDALinear)) for m in model.modules()) == binary_layers
    x = torch.randn(1, *shape)
    with torch.no_grad():
        expected = model(x)
    assert expected.shape == (1, classes)
    program = torch.export.export(model, (x,), strict=False)
    torch.testing.assert_close(program.module()(x), expected, rtol=1e-4, atol=1e-4)
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert not {name for name in called if not name.startswith("aten.")}


@pytest.mark.parametrize(("factory", "binary_layers", "classes"), CASES)
def test_arguments_reach_the_layers(factory: Factory, binary_layers: int, classes: int) -> None:
    with torch.device("meta"):
        model = factory(num_classes=7, scale="channel")
    scales = {m.scale for m in model.modules() if isinstance(m, (FDAConv2d, FDALinear))}
    assert scales == {"channel"}
    last = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]
    assert last.out_features == 7


def test_shortcut_a_takes_every_second_pixel_and_centres_the_channels() -> None:
    x = torch.arange(2 * 4 * 4, dtype=torch.float32).view(1, 2, 4, 4)
    y = shortcut_a(x, 4, 2)
    assert y.shape == (1, 4, 2, 2)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert y[:, [0, 3]].abs().sum() == 0
    assert shortcut_a(x, 2, 1) is x


def test_shortcut_of_the_two_residual_networks_differs() -> None:
    torch.manual_seed(0)
    plain, bireal = resnet20().eval(), resnet20_bireal().eval()
    bireal.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert not torch.allclose(plain(x), bireal(x))


def test_installed_architectures_are_found_by_name() -> None:
    names = architecture_names()
    if not names:
        pytest.skip("the package is not installed, so it has no entry points")
    for name, factory in (("resnet20", resnet20), ("alexnet", alexnet)):
        assert find_architecture(name) is factory
    with pytest.raises(UsageError, match=r"'resnet99'.*resnet20"):
        find_architecture("resnet99")
