from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.frontend.checkpoint import from_module, read
from fdabnn_models.architectures.resnet_cifar import resnet20, resnet20_bireal


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    torch.manual_seed(0)
    network = resnet20()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            nn.init.normal_(module.weight)
    return network.eval()


def own_format(network: nn.Module, **changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "format_version": 1,
        "arch": "resnet20",
        "arch_args": {"num_classes": 10, "scale": "tensor"},
        "state_dict": network.state_dict(),
        "training": {"epoch": 3, "test_accuracy": 0.5},
        "input_shape": [3, 32, 32],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "input_range": [-2.0, 2.0],
        "classes": [str(i) for i in range(10)],
        "ranges": {"bn1": {"min": -1.0, "max": 1.0}},
    }
    return {key: value for key, value in {**content, **changes}.items() if value is not None}


def same(a: nn.Module, b: nn.Module) -> bool:
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return torch.equal(a(x), b(x))


def test_own_format(tmp_path: Path, trained: nn.Module) -> None:
    path = tmp_path / "net.pt"
    torch.save(own_format(trained), path)
    source = read(path)
    assert same(source.module, trained)
    assert (source.dialect, source.arch, source.notes, source.noisy_module) == (
        "fdabnn",
        "resnet20",
        (),
        None,
    )
    assert source.ranges == {"bn1": (-1.0, 1.0)}
    assert source.training["test_accuracy"] == 0.5
    assert source.bytes == path.stat().st_size
    assert source.info.name == "net"
    assert source.info.checkpoint_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (source.info.input_range, len(source.info.classes)) == ((-2.0, 2.0), 10)
    assert len(source.noise.layers) == 18
    assert not source.module.training
    assert not any(p.requires_grad for p in source.module.parameters())
    assert read(path, name="other").info.name == "other"


def test_bare_state_dict(tmp_path: Path, trained: nn.Module) -> None:
    path = tmp_path / "net.pt"
    torch.save({"epoch": 3, "model": {f"module.{k}": v for k, v in trained.state_dict().items()}}, path)
    source = read(path, arch="resnet20", mean=(0.5,) * 3, std=(0.25,) * 3)
    assert same(source.module, trained)
    assert source.dialect == "state_dict"
    assert "scale='tensor'" in source.notes[0]
    assert source.info.input_range == (-2.0, 2.0)
    assert not read(path, arch="resnet20", arch_args={"num_classes": 10, "scale": "tensor"}).notes
    with pytest.raises(UsageError, match=r"fit resnet20 and resnet20_bireal.*--arch.*vgg_small") as error:
        read(path)
    assert "--model package.module:factory" in str(error.value)
    with pytest.raises(UsageError, match="exclude each other"):
        read(path, arch="resnet20", model="a:b")
    with pytest.raises(ModelRefusedError, match="does not fit vgg_small"):
        read(path, arch="vgg_small")


def test_half_and_double_weights_become_float(tmp_path: Path, trained: nn.Module) -> None:
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in trained.state_dict().items()}
        torch.save(state, tmp_path / "net.pt")
        source = read(tmp_path / "net.pt", arch="resnet20")
        assert source.module.get_parameter("conv1.weight").dtype == torch.float32
        assert same(source.module, trained) == (dtype == torch.float64)


def test_the_users_word_against_the_files(tmp_path: Path, trained: nn.Module) -> None:
    path = tmp_path / "net.pt"
    torch.save(own_format(trained), path)
    source = read(path, arch="resnet20_bireal", mean=(0, 0, 0), std=(1, 1, 1), input_range=(0, 2))
    other = resnet20_bireal().eval()
    other.load_state_dict(trained.state_dict())
    assert same(source.module, other)
    assert not same(source.module, trained)
    assert source.info.input_range == (0.0, 2.0)
    by_channel = read(path, arch_args={"scale": "channel"})
    assert not same(by_channel.module, trained)


OWN_NET = """
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.fc = nn.Linear(8, classes)

    def forward(self, x):
        x = F.conv2d(torch.sign(x), torch.sign(self.conv.weight))
        return self.fc(x.mean((2, 3)))
"""


def test_the_users_own_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_net_y.py").write_text(OWN_NET)
    monkeypatch.chdir(tmp_path)
    network = nn.ModuleDict({"conv": nn.Conv2d(3, 8, 3, bias=False), "fc": nn.Linear(8, 5)})
    torch.save(network.state_dict(), "net.pt")
    with pytest.raises(UsageError, match="--input-shape"):
        read("net.pt", model="own_net_y:Net", arch_args={"classes": 5})
    source = read("net.pt", model="own_net_y:Net", arch_args={"classes": 5}, input_shape=(3, 9, 9))
    assert (source.arch, source.info.input_shape, source.notes) == ("own_net_y:Net", (3, 9, 9), ())
    assert torch.equal(source.module.get_parameter("fc.bias"), network["fc"].bias)  # type: ignore[arg-type]
    with pytest.raises(ModelRefusedError, match="does not fit own_net_y:Net"):
        read("net.pt", model="own_net_y:Net", input_shape=(3, 9, 9))


def test_noise(tmp_path: Path, trained: nn.Module) -> None:
    path = tmp_path / "net.epoch20.pt"
    state = {
        k: torch.tensor(0.05) if k.endswith("layer2.0.conv1.alpha") else v
        for k, v in trained.state_dict().items()
    }
    torch.save(own_format(trained, state_dict=state), path)
    with pytest.raises(ModelRefusedError, match=r"1 of 18 FDA layers\n  layer2\.0\.conv1: alpha = 0\.05\n"):
        read(path)
    source = read(path, drop_noise=True)
    assert source.noise.dropped
    assert same(source.module, trained)
    assert source.noisy_module is not None
    assert not same(source.noisy_module, trained)
    assert read(path, drop_noise=True).noise.noisy[0].alpha == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format_version": 2}, "update fdabnn-deploy"),
        ({"format_version": "1"}, "format_version '1'"),
        ({"arch": None}, "no 'arch'"),
        ({"arch": "resnet21"}, "'resnet21', which is not installed"),
        ({"arch_args": {"depth": 20}}, "unexpected keyword argument"),
        ({"arch_args": [1]}, "not a dict of keyword arguments"),
        ({"arch_args": {"num_classes": 100}}, "num_classes=10"),
        ({"arch": "vgg_small"}, "does not fit vgg_small"),
        ({"state_dict": None}, "no 'state_dict'"),
        ({"state_dict": {}}, "holds no state_dict"),
        ({"mean": [0.5]}, "mean of"),
        ({"ranges": {"a": 1}}, "ranges in"),
        ({"ranges": torch.ones(2)}, "ranges in"),
        ({"training": [1]}, "'training' of"),
    ],
)
def test_wrong_headers_are_refused(
    tmp_path: Path, trained: nn.Module, changes: dict[str, Any], text: str
) -> None:
    torch.save(own_format(trained, **changes), tmp_path / "net.pt")
    with pytest.raises(ModelRefusedError, match=text):
        read(tmp_path / "net.pt")
    assert list(tmp_path.iterdir()) == [tmp_path / "net.pt"]


def test_wrong_tensors_are_refused(tmp_path: Path, trained: nn.Module) -> None:
    state = trained.state_dict()
    nan = {**state, "layer1.0.conv1.weight": torch.full((16, 16, 3, 3), float("nan"))}
    for changed, text in (
        (nan, r"NaN or infinity in layer1\.0\.conv1\.weight \(2304 of 2304"),
        ({k: v for k, v in state.items() if k != "linear.bias"}, r"missing \(1\): linear\.bias"),
        ({**state, "linear2.bias": torch.ones(1)}, r"extra \(1\): linear2\.bias"),
    ):
        torch.save(own_format(trained, state_dict=changed), tmp_path / "net.pt")
        with pytest.raises(ModelRefusedError, match=text):
            read(tmp_path / "net.pt")


def test_a_module_from_memory_is_left_as_it_is(trained: nn.Module) -> None:
    network = resnet20().train()
    network.load_state_dict(trained.state_dict())
    network.get_submodule("layer1.0.conv1").alpha.fill_(0.1)  # type: ignore[operator]
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(ModelRefusedError, match="the module ResNetCifar is not binary yet"):
        from_module(network, torch.zeros(1, 3, 32, 32))
    source = from_module(
        network,
        torch.zeros(2, 3, 32, 32),
        drop_noise=True,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        classes=["a", "b"],
    )
    assert same(source.module, trained)
    assert (source.dialect, source.arch, source.bytes) == ("module", "ResNetCifar", 0)
    assert (source.info.name, source.info.input_shape) == ("resnetcifar", (3, 32, 32))
    assert (source.info.input_range, source.info.classes) == ((-1.0, 1.0), ("a", "b"))
    assert network.training
    assert all(p.requires_grad for p in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_what_is_no_module_or_no_input(trained: nn.Module) -> None:
    for module, example in (
        ("net.pt", torch.zeros(1, 3)),
        (trained, [1]),
        (trained, torch.zeros(3)),
        (trained, torch.ones(1, 3).int()),
    ):
        with pytest.raises(UsageError, match=r"torch\.nn\.Module|float tensor"):
            from_module(module, example)  # type: ignore[arg-type]
    broken = nn.Linear(3, 1)
    nn.init.constant_(broken.weight, float("inf"))
    with pytest.raises(ModelRefusedError, match=r"weight \(3 of 3"):
        from_module(broken, torch.zeros(1, 3))


FACTORY = """
import torch
from torch import nn

def net(classes=2):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, classes))

net.input_shape = (3, 8, 8)
"""


def test_the_shape_that_a_factory_function_says_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shaped_net_x.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import shaped_net_x  # type: ignore[import-not-found]

    state = {f"backbone.{key}": value for key, value in shaped_net_x.net().state_dict().items()}
    torch.save({"state_dict": {**state, "criterion.weight": torch.ones(2)}}, "n.pt")
    source = read("n.pt", model="shaped_net_x:net")
    assert source.info.input_shape == (3, 8, 8)
    assert source.notes == ("left out of n.pt, as it belongs to the training only: criterion.weight",)
    assert read("n.pt", model="shaped_net_x:net", input_shape=(3, 8, 8)).info.input_shape == (3, 8, 8)
    with pytest.raises(ModelRefusedError, match="2 in the file, 5 in the network: --arch-arg classes=2"):
        read("n.pt", model="shaped_net_x:net", arch_args={"classes": 5})


def test_numbers_of_numpy_are_numbers(trained: nn.Module) -> None:
    given: dict[str, Any] = {"mean": np.full(3, 0.5, np.float32), "std": [np.float32(0.25)] * 3}
    source = from_module(trained, torch.zeros(1, 3, 32, 32), **given)
    assert source.info.mean == (0.5, 0.5, 0.5)
    assert source.info.std == (0.25, 0.25, 0.25)
