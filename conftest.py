"""Fixtures and settings for all tests."""

from __future__ import annotations

import importlib.util
import os
import platform
import random
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from numpy import int64, uint8
from numpy.typing import NDArray

if TYPE_CHECKING:
    from arm_root.device import Device

# Before anything imports them: TensorFlow's start-up notes drown the tests' own output, and pytest-xdist
# workers with as many threads each as there are cores are slower than workers with one.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline: on a busy machine it measures the neighbours. In CI the same examples on every run.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
# For an emulated processor: `--hypothesis-profile=few`.
settings.register_profile("few", settings.get_profile("ci"), max_examples=25)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

ROOT = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--refuse-runtimes`: the imports of external runtimes fail; `make test-fast` gives it."""
    parser.addoption(
        "--refuse-runtimes", action="store_true", help="fail a test that imports an external runtime"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuses external runtimes in this process and in those it starts, where that is asked for."""
    if not config.getoption("--refuse-runtimes"):
        return
    from fast_tests.refuse_runtimes import install

    def refuse(name: str) -> None:
        pytest.fail(f"imports {name}, an external runtime: mark the test `runtimes`")

    install(refuse)
    folders = [str(ROOT / "tools" / "fast_tests" / "site"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, folders))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--refuse-runtimes`, files are not even imported whose every test needs a runtime: their mark says so, or their folder."""
    if not config.getoption("--refuse-runtimes"):
        return None
    if ROOT / "runtime_tests" in collection_path.parents:
        return True
    if collection_path.name.endswith("_test.py"):
        return "\npytestmark = pytest.mark.runtimes\n" in collection_path.read_text(encoding="utf-8") or None
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Generator[None, object, object]:
    """Skips what needs Larq Compute Engine or TensorFlow where they are not installed."""
    return (yield from _skips_without_lce())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """See `pytest_runtest_setup`."""
    return (yield from _skips_without_lce())


def _skips_without_lce() -> Generator[None, object, object]:
    """Where the extra `lce` is missing, an error that asks for it skips the test; in CI, which has to have it if it can, the test fails."""
    from fdabnn_deploy.errors import RuntimeMissingError
    from fdabnn_deploy.system.plugins import INSTALL_LCE
    from fdabnn_deploy.system.programs_testing import skip

    try:
        return (yield)
    except RuntimeMissingError as error:
        packages = ("larq_compute_engine", "tensorflow")
        if INSTALL_LCE not in str(error) or all(map(importlib.util.find_spec, packages)):
            raise
        if not _lce_has_wheels():
            pytest.skip(str(error))
        skip(str(error))


def _lce_has_wheels() -> bool:
    """Whether Larq Compute Engine can be installed here, as tools/make/venv.sh decides it."""
    machines = {("linux", "x86_64"), ("darwin", "x86_64"), ("darwin", "arm64")}
    return sys.version_info[:2] <= (3, 12) and (sys.platform, platform.machine()) in machines


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Starts every test with the same state of the global random sources, whichever tests ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of data sets: `FDABNN_DATA`, else `data/` in the checkout. It need not exist."""
    return (ROOT / os.environ.get("FDABNN_DATA", "data")).resolve()


@pytest.fixture(scope="session")
def cifar10_test(data_dir: Path) -> tuple[NDArray[uint8], NDArray[int64]]:
    """Images uint8 [10000, 3, 32, 32] and classes int64 [10000]; skips where the data set is absent."""
    folders = ("cifar-10", "cifar-10-batches-py")
    candidates = [data_dir / folder / name for folder in folders for name in ("test_batch", "test_batch.xz")]
    found = [path for path in candidates if path.is_file()]
    if not found:
        pytest.skip(f"no CIFAR-10 in {data_dir}; set FDABNN_DATA to the folder that holds cifar-10/")
    # Late: needs torch, which most tests do not.
    from fdabnn_models.data.cifar10 import read_batch

    images, labels = read_batch(found[0])
    return images.numpy(), labels.numpy()


@pytest.fixture(scope="session")
def cifar10_test_images(cifar10_test: tuple[NDArray[uint8], NDArray[int64]]) -> NDArray[uint8]:
    """The images of the CIFAR-10 test set, uint8 [10000, 3, 32, 32]; skips where it is absent."""
    return cifar10_test[0]


@pytest.fixture(scope="session")
def cifar10_test_labels(cifar10_test: tuple[NDArray[uint8], NDArray[int64]]) -> NDArray[int64]:
    """The classes of the CIFAR-10 test set, int64 [10000]; skips where it is absent."""
    return cifar10_test[1]


@pytest.fixture(scope="session")
def pi() -> Device:
    """An arm64 system with nothing of ours on it; skips where it cannot be made, which CI must not."""
    from arm_root.device import make_device
    from fdabnn_deploy.errors import RuntimeMissingError
    from fdabnn_deploy.system.programs_testing import skip

    try:
        return make_device()
    except RuntimeMissingError as error:
        skip(str(error))


@pytest.fixture(scope="session")
def lce() -> None:
    """For tests that do not ask for Larq Compute Engine and TensorFlow by themselves: skips them as `pytest_runtest_setup` does."""
    from fdabnn_tflite.runtime.lce import LceRuntime
    from fdabnn_tflite.runtime.tensorflow_lite import TfliteRuntime

    LceRuntime().version()
    TfliteRuntime().version()


@pytest.fixture(scope="session")
def tflite_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `fdabnn_deploy.conformance.network()`: all operators, two inputs, two outputs."""
    from fdabnn_deploy.conformance import network
    from fdabnn_deploy.ir.model_info import ModelInfo
    from fdabnn_deploy.targets.converter import ConvertOptions
    from fdabnn_deploy.targets.installed import find_converter

    path = tmp_path_factory.mktemp("runtimes") / "network.tflite"
    info = ModelInfo("network", (3, 9, 9), mean=(0.5, 0.25, 0.125), classes=("ä", "b"))
    find_converter("tflite").convert(network(), info, path, ConvertOptions())
    return path


@pytest.fixture
def endless_files(tmp_path: Path) -> Callable[[str], list[Path]]:
    """`endless_files(suffix)`: a link to a device that never ends, and a pipe that nobody writes to."""

    def make(suffix: str) -> list[Path]:
        device, pipe = (tmp_path / f"{name}{suffix}" for name in ("device", "pipe"))
        device.symlink_to("/dev/zero")
        os.mkfifo(pipe)
        return [device, pipe]

    return make


@pytest.fixture(scope="session")
def bibench_fda() -> ModuleType:
    """`runtime_tests/fixtures/bibench_fda.py`: plain PyTorch that imports nothing of this project, and no import path leads to."""
    path = ROOT / "runtime_tests" / "fixtures" / "bibench_fda.py"
    spec = importlib.util.spec_from_file_location("bibench_fda", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bibench_fda"] = module
    spec.loader.exec_module(module)
    return module
