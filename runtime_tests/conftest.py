"""Checkpoints, networks and samples for the tests on real runtimes."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn

from arm_root import library
from arm_root.make import make_root
from fdabnn_deploy import checkpoint as checkpoint_files
from fdabnn_deploy import samples
from fdabnn_deploy.capsule import write_capsule
from fdabnn_deploy.capture import capture
from fdabnn_deploy.cifar10 import find_test_batch
from fdabnn_deploy.converter import ConvertOptions, Kernels, find_converter
from fdabnn_deploy.deploy import deploy
from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.numerics.exact import make_exact
from fdabnn_deploy.pictures import synthetic
from fdabnn_deploy.replay import build as build_capsule
from fdabnn_deploy.runtimes import arm_root
from fdabnn_deploy.runtimes.arm_root import Guest
from fdabnn_models.checkpoint import save_checkpoint
from fdabnn_models.cifar10 import CLASSES, MEAN, STD, input_range
from fdabnn_models.resnet_cifar import resnet20
from fdabnn_models.vgg_small import vgg_small

SHIPPED = sorted((Path(__file__).parents[1] / "models" / "checkpoints").glob("*.pt"))


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


@dataclass(frozen=True)
class Exported:
    """An exported file, and a capsule of it."""

    model: Path
    capsule: Path


@pytest.fixture(scope="session")
def runtime_libraries() -> dict[str, Path]:
    """The runtimes' shared libraries in their wheels, by the suffix of the files that they run."""
    found = {}
    for suffix, package, pattern in (
        (".tflite", "ai_edge_litert", "libLiteRt.so"),
        (".onnx", "onnxruntime", "capi/libonnxruntime.so.*"),
    ):
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.submodule_search_locations is not None
        found[suffix] = next(Path(spec.submodule_search_locations[0]).glob(pattern))
    return found


@pytest.fixture(scope="session")
def resnet20_capsules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """The shipped ResNet-20 as `tflite`, `onnx` and `packed` ONNX, each with a capsule of 5 pictures."""
    source = checkpoint_files.read(SHIPPED[0])
    pictures = samples.load("random:16", source.info).images
    exact = make_exact(deploy(capture(source.module, source.info.input_shape)).graph, [pictures])
    info = replace(source.info, numerics=exact.numerics.to_text())
    folder = tmp_path_factory.mktemp("resnet20")
    made = {}
    choices: tuple[tuple[str, str, Kernels], ...] = (
        ("tflite", "tflite", "standard"),
        ("onnx", "onnx", "standard"),
        ("packed", "onnx", "packed"),
    )
    for name, target, kernels in choices:
        converter = find_converter(target)
        files = Exported(folder / f"{name}{converter.suffix}", folder / f"{name}.capsule")
        converter.convert(exact.graph, info, files.model, ConvertOptions(kernels=kernels))
        write_capsule(files.capsule, build_capsule(files.model, [pictures[:5]]))
        made[name] = files
    return made


@pytest.fixture(scope="session")
def arm_guest() -> Iterator[Guest]:
    """The arm64 root and the native library for it, made where they are not there; skips where there is no emulator."""
    try:
        arm_root.find_qemu()
    except RuntimeMissingError as error:
        pytest.skip(str(error))
    try:
        guest = make_root()
    except RuntimeMissingError as error:
        # Without a network, say. CI has one, and must not skip what it is there for.
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    library.build()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(arm_root.VARIABLE, str(guest.root))
        yield guest
