"""Wheels as devices install them, without PyTorch and TensorFlow: on this machine, and by the pip of an ARM system."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pip
import pytest

from fdabnn_deploy.runtimes.emulator.arm_root import Guest
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime
from instruction_counts.model_files import Files
from native.build import supported_machine
from native.wheels import build_wheel

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[1]
FRAMEWORKS = ("larq_compute_engine", "onnx", "tensorflow", "torch")
UNIQUE = "import numpy; numpy.set_printoptions(floatmode='unique')\n"
"""Before a program: with all digits that a float has, equal texts are equal bits."""


@dataclass(frozen=True)
class Installed:
    """A Python that has the wheel and what it requires.

    Attributes:
        python: the beginning of commands.
        environment: for them.
        folder: where they run, with the files in `build/` that the README speaks of.
    """

    python: list[str]
    environment: dict[str, str]
    folder: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs Python with these arguments."""
        return subprocess.run(
            [*self.python, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def prints(self, *arguments: str) -> str:
        """Runs Python and returns its output; fails where it fails."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheels."""
    if supported_machine() is None:
        pytest.skip("no native library for this platform")
    return tmp_path_factory.mktemp("dist")


@pytest.fixture(scope="module")
def folder(resnet20_files: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds nothing but the files of the README."""
    made = tmp_path_factory.mktemp("device")
    (made / "build").mkdir()
    for file, name in zip(resnet20_files[1:3], ("model.tflite", "packed.onnx"), strict=True):
        (made / "build" / name).write_bytes(file.read_bytes())
    return made


@pytest.fixture(scope="module")
def here(dist: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A new virtual environment of this machine; skips where there is no package index, but in CI."""
    machine = supported_machine()
    assert machine is not None
    # One for all processes of pytest-xdist: nothing takes longer.
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    venv = base / "clean-venv"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    installed = Installed([str(venv / "bin" / "python")], environment, folder)
    with (base / "clean-venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (venv / "made").exists():
            return installed
        python = Path(sys.base_prefix) / "bin" / "python3"
        subprocess.run([str(python), "-m", "venv", "--clear", str(venv)], check=True)
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        done = installed.run("-m", "pip", "install", "-q", *constraints, str(build_wheel(machine, dist)))
        if done.returncode and "Could not find a version" in done.stderr and not os.environ.get("CI"):
            pytest.skip(f"pip cannot install the base packages: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
        (venv / "made").touch()
    return installed


@pytest.fixture(scope="module")
def on_arm(arm_guest: Guest, dist: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The arm64 root with the wheel beside it, installed by pip on its own Python."""
    scratch = tmp_path_factory.mktemp("arm")
    (scratch / "pip").mkdir()
    (scratch / "pip" / "pip").symlink_to(Path(pip.__file__).parent)
    site = scratch / "site"
    pip_of_root = Installed(arm_guest.command(), arm_guest.environment(scratch / "pip"), folder)
    options = [
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--disable-pip-version-check",
        "--target",
        str(site),
    ]
    pip_of_root.prints("-m", "pip", "install", *options, str(build_wheel("aarch64", dist)))
    return Installed(arm_guest.command("-P"), arm_guest.environment(site), folder)


def device_section() -> list[str]:
    """The README's programs for devices."""
    text = (ROOT / "README.md").read_text()
    section = text[text.index("\n## Run\n") : text.index("\n## Train\n")]
    programs = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert any("delegate_path()" in program for program in programs)
    assert any("custom_ops_path()" in program for program in programs)
    return programs


def check_device_section(installed: Installed, standard: Path) -> None:
    """The programs print the bits that stock ONNX Runtime computes of the file of standard operators, on this machine."""
    zeros = OnnxRuntime().open(standard).run([np.zeros((1, 3, 32, 32), np.float32)])[0]
    assert np.unique(zeros).size == 10
    with np.printoptions(floatmode="unique"):
        expected = str(zeros)
    for program in device_section():
        assert installed.prints("-c", UNIQUE + program).strip() == expected


def check_frameworks_are_absent(installed: Installed) -> None:
    program = f"import importlib.util; print(*map(importlib.util.find_spec, {FRAMEWORKS}))"
    assert installed.prints("-c", program).split() == ["None"] * len(FRAMEWORKS)
    where = installed.prints("-c", "import fdabnn_deploy; print(fdabnn_deploy.__file__)")
    assert not Path(where).is_relative_to(ROOT)


def check_parity(installed: Installed, *further: str) -> str:
    files = ("build/model.tflite", "build/packed.onnx")
    said = installed.prints("-m", "fdabnn_deploy.cli.parity", *files, "--inputs", "random:4", *further)
    assert "the same bits" in said
    return said


def test_the_base_install_has_what_it_requires_and_no_framework(here: Installed) -> None:
    check_frameworks_are_absent(here)
    assert "No broken requirements found" in here.prints("-m", "pip", "check")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = here.prints("-c", "from importlib.metadata import version; print(version('fdabnn-deploy'))")
    assert version.strip() == project["version"]


def test_the_readmes_device_section(here: Installed, resnet20_files: Files) -> None:
    check_device_section(here, resnet20_files[0])


def test_the_tools_run_or_say_what_they_need(here: Installed) -> None:
    check_parity(here)
    tools = Path(here.python[0]).parent
    checkpoint = ROOT / "models" / "checkpoints" / "resnet20-cifar10.pt"
    train = ["fdabnn-train", "--arch", "resnet20", "--data", ".", "--epochs", "1", "--out", "out.pt"]
    for command in (["fdabnn-export", str(checkpoint)], train):
        done = subprocess.run(
            [str(tools / command[0]), *command[1:]],
            cwd=here.folder,
            env=here.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, "Traceback" in done.stderr) == (6, False), done.stderr
        assert "pip install 'fdabnn-deploy[" in done.stderr


@pytest.mark.parametrize("name", ["aarch64", "macos"])
def test_pip_refuses_the_wheel_of_another_machine(here: Installed, dist: Path, name: str) -> None:
    if name == supported_machine():
        pytest.skip("this machine's own")
    done = here.run("-m", "pip", "install", "--no-index", "--no-deps", str(build_wheel(name, dist)))
    assert done.returncode == 1
    assert "is not a supported wheel on this platform" in done.stderr


def test_a_workstation_runs_the_files_for_devices_from_its_wheel(here: Installed, arm_guest: Guest) -> None:
    if supported_machine() != "x86_64":
        pytest.skip("wheels for x86-64 bring the library for aarch64")
    said = check_parity(here, "--runtime", "qemu-aarch64")
    assert len(re.findall(r"qemu-aarch64 .* 0 of 40 ", said)) == 2


def test_an_arm_system_installs_its_wheel_and_no_framework(on_arm: Installed) -> None:
    check_frameworks_are_absent(on_arm)
    program = "import platform; from fdabnn_deploy.native import library; print(platform.machine(), *library.levels())"
    assert on_arm.prints("-c", program).split()[:3] == ["aarch64", "scalar", "neon"]


def test_the_readmes_device_section_on_arm(on_arm: Installed, resnet20_files: Files) -> None:
    check_device_section(on_arm, resnet20_files[0])


def test_the_tools_run_on_arm(on_arm: Installed) -> None:
    check_parity(on_arm)
