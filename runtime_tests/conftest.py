"""Checkpoints, networks and samples for the tests on real runtimes."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from arm_root import library
from arm_root.make import make_root
from fdabnn_deploy import checkpoint as checkpoints
from fdabnn_deploy import samples
from fdabnn_deploy.capture import capture
from fdabnn_deploy.cifar10 import find_test_batch
from fdabnn_deploy.converter import ConvertOptions, find_converter
from fdabnn_deploy.deploy import deploy
from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.model_info import ModelInfo
from fdabnn_deploy.numerics.exact import make_exact
from fdabnn_deploy.pictures import synthetic
from fdabnn_deploy.runtimes import arm_root
from fdabnn_deploy.runtimes.arm_root import Guest
from fdabnn_models.checkpoint import save_checkpoint
from fdabnn_models.cifar10 import CLASSES, MEAN, STD, input_range
from fdabnn_models.resnet_cifar import resnet20
from fdabnn_models.vgg_small import vgg_small

Files = tuple[Path, Path, Path]
SHIPPED = sorted((Path(__file__).parents[1] / "models" / "checkpoints").glob("*.pt"))
RESNET20 = Path(__file__).parents[1] / "models" / "checkpoints" / "resnet20-cifar10.pt"


def shake(module: nn.Module, *, alpha: float, seed: int = 0) -> nn.Module:
    """Gives a fresh network the statistics of a trained one: negative and zero gammas, uneven variances, every class."""
    generator = torch.Generator().manual_seed(seed)
    for name, buffer in module.named_buffers():
        if name.endswith("alpha"):
            buffer.fill_(alpha)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 0.8, 0.5, generator=generator)
            nn.init.normal_(layer.bias, 0, 0.5, generator=generator)
            layer.weight.data[0] = 0.0
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, 0, 0.5, generator=generator)
            nn.init.uniform_(layer.running_var, 0.2, 3.0, generator=generator)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 1, generator=generator)
    module.eval()
    pictures = torch.from_numpy(synthetic(32, (3, 32, 32), seed=1)).float() / 64 - 2
    with torch.no_grad():
        last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
        last.bias.sub_(module(pictures).mean(dim=0))
    return module


def write_checkpoint(path: Path, *, alpha: float = 0.0, seed: int = 0) -> Path:
    """A ResNet-20 with random weights in the project's own format."""
    torch.manual_seed(seed)
    network = shake(resnet20(), alpha=alpha, seed=seed)
    save_checkpoint(
        path,
        arch="resnet20",
        arch_args={},
        state_dict=network.state_dict(),
        training={"epochs": 0},
        input_shape=(3, 32, 32),
        mean=MEAN,
        std=STD,
        input_range=input_range(),
        classes=CLASSES,
        ranges={},
    )
    return path


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A binary ResNet-20 with random weights."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "random.pt")


@pytest.fixture(scope="session")
def noisy_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same saved in mid-training: alpha is 0.1."""
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "noisy.pt", alpha=0.1)


@pytest.fixture(scope="session")
def random_vgg_small() -> nn.Module:
    """A binary VGG-small with random weights."""
    torch.manual_seed(0)
    return shake(vgg_small(), alpha=0.0)


def _write_files(module: nn.Module, info: ModelInfo, folder: Path) -> Files:
    pictures = samples.load("random:16", info).images
    exact = make_exact(deploy(capture(module, info.input_shape)).graph, [pictures])
    info = ModelInfo(
        *(info.name, info.input_shape), mean=info.mean, std=info.std, input_range=info.input_range,
        checkpoint_sha256=info.checkpoint_sha256, numerics=exact.numerics.to_text(),
    )  # fmt: skip
    onnx, tflite, packed = (folder / f"{info.name}{end}" for end in (".onnx", ".tflite", "-packed.onnx"))
    find_converter("onnx").convert(exact.graph, info, onnx, ConvertOptions())
    find_converter("tflite").convert(exact.graph, info, tflite, ConvertOptions())
    find_converter("onnx").convert(exact.graph, info, packed, ConvertOptions(kernels="packed"))
    return onnx, tflite, packed


@pytest.fixture(scope="session")
def write_files() -> Callable[[nn.Module, ModelInfo, Path], Files]:
    """Writes a module as an exact ONNX file, an exact TFLite file, and an ONNX file with packed binary layers."""
    return _write_files


@pytest.fixture(scope="session")
def resnet20_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The shipped ResNet-20 as the files of `write_files`."""
    source = checkpoints.read(RESNET20)
    return _write_files(source.module, source.info, tmp_path_factory.mktemp("resnet20"))


@pytest.fixture(scope="session")
def cifar10_folder(data_dir: Path) -> Path:
    """The folder of CIFAR-10; skips where it is absent."""
    if find_test_batch(data_dir) is None:
        pytest.skip(f"no CIFAR-10 in {data_dir}; set FDABNN_DATA to the folder that holds cifar-10/")
    return data_dir


@pytest.fixture(scope="session")
def bibench_fda() -> ModuleType:
    """`fixtures/bibench_fda.py`: plain PyTorch that imports nothing of this project."""
    path = Path(__file__).parent / "fixtures" / "bibench_fda.py"
    spec = importlib.util.spec_from_file_location("bibench_fda", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bibench_fda"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def arm_guest() -> Iterator[Guest]:
    """The arm64 root and the native library for it, made where they are not there; skips where there is no emulator."""
    try:
        guest = make_root()
    except RuntimeMissingError as error:
        # Without an emulator or a network. CI has both, and must not skip what it is there for.
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    library.build()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(arm_root.VARIABLE, str(guest.root))
        yield guest
