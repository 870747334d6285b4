"""Checkpoints, networks and samples for the tests on real runtimes."""

from __future__ import annotations

import importlib.util
import runpy
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from arm_root import library
from arm_root.make import make_root
from fdabnn_deploy.data import samples
from fdabnn_deploy.data.cifar10 import find_test_batch
from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.frontend import checkpoint as checkpoint_files
from fdabnn_deploy.runtimes.emulator import arm_root
from fdabnn_deploy.runtimes.emulator.arm_root import Guest
from fdabnn_deploy.system.programs_testing import skip
from fdabnn_deploy.verify.capsule import write_capsule
from fdabnn_deploy.verify.capsule_replay import build as build_capsule
from fdabnn_models.architectures.resnet_cifar import resnet20
from fdabnn_models.architectures.shake_testing import shake
from fdabnn_models.checkpoint import save_checkpoint
from fdabnn_models.data.cifar10 import CLASSES, MEAN, STD
from fdabnn_models.data.dataset import input_range
from instruction_counts import model_files
from instruction_counts.model_files import Files

SHIPPED = sorted((Path(__file__).parents[1] / "models" / "checkpoints").glob("*.pt"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder, which is for real runtimes end to end; `make test-fast` leaves them out."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("runtimes")


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
        input_range=input_range(MEAN, STD),
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
def resnet20_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The shipped ResNet-20, exported."""
    return model_files.export_resnet20(tmp_path_factory.mktemp("resnet20"))


@pytest.fixture(scope="session")
def vgg_small_files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A VGG-small with random weights, exported."""
    return model_files.export_vgg_small(tmp_path_factory.mktemp("vgg-small"))


@pytest.fixture(scope="session")
def cifar10_folder(data_dir: Path) -> Path:
    """The folder of CIFAR-10; skips where it is absent."""
    if find_test_batch(data_dir) is None:
        pytest.skip(f"no CIFAR-10 in {data_dir}; set FDABNN_DATA to the folder that holds cifar-10/")
    return data_dir


@pytest.fixture(scope="session")
def write_network() -> Callable[..., Path]:
    """`write_network(folder, "a.pt", ...)` writes `fixtures/nets.py` and state dicts of its `Small`, with the seeds 0, 1, ...

    Keywords are the network's; it returns the folder.
    """

    def write(folder: Path, *names: str, **arguments: int) -> Path:
        path = Path(__file__).parent / "fixtures" / "nets.py"
        shutil.copy(path, folder)
        network = runpy.run_path(str(path))["Small"]
        for seed, name in enumerate(names):
            torch.manual_seed(seed)
            torch.save(network(**arguments).state_dict(), folder / name)
        return folder

    return write


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
def resnet20_capsules(resnet20_files: Files, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """The shipped ResNet-20 as `tflite`, `onnx` and `packed` ONNX, each with a capsule of 5 images."""
    images = samples.load("random:5", checkpoint_files.read(SHIPPED[0]).info).images
    folder = tmp_path_factory.mktemp("capsules")
    made = {}
    models = {"tflite": resnet20_files.tflite, "onnx": resnet20_files.onnx, "packed": resnet20_files.packed}
    for name, model in models.items():
        made[name] = Exported(model, folder / f"{name}.capsule")
        write_capsule(made[name].capsule, build_capsule(model, [images]))
    return made


@pytest.fixture(scope="session")
def arm_guest() -> Iterator[Guest]:
    """The arm64 root and the native library for it, made where they are not there; skips where there is no emulator."""
    try:
        guest = make_root()
    except RuntimeMissingError as error:
        # Without an emulator or a network. CI has both, and must not skip what it is there for.
        skip(str(error))
    library.build()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(arm_root.VARIABLE, str(guest.root))
        yield guest
