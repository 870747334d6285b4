"""Every Python of the classifiers, with what `pip install 'fdabnn-deploy[export]'` gives a user: export, parity, delegate, packed ONNX.

`pytest -m long -rP runtime_tests/python_versions_test.py` shows the sizes and times.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fdabnn_deploy.errors import RuntimeMissingError
from native.build import supported_machine
from native.wheels import build_wheel
from pythons.find import clean_environment, find_python
from runtime_tests.conftest import SHIPPED

ROOT = Path(__file__).parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
NUMPY_1 = "1.26.4"
"""Has no wheels for Python 3.13 and later."""
WITH_NUMPY_1 = ("3.11", "3.12")
NAME = SHIPPED[0].stem
SAMPLES = "random:16"
EXPORTS: dict[str, list[str]] = {
    "standard": ["--target", "all"],
    "packed": ["--target", "onnx", "--kernels", "packed"],
}
FILES = (f"standard/{NAME}.tflite", f"standard/{NAME}.onnx", f"packed/{NAME}.onnx")


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of this file's tests in all processes of pytest-xdist, which get it one at a time: each installs gigabytes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "python-versions"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


@pytest.fixture
def wheel(shared: Path) -> Path:
    """The project's wheel for this machine, built once."""
    machine = supported_machine()
    if machine is None:
        pytest.skip("no native library for this platform")
    built = list((shared / "dist").glob("*.whl"))
    return built[0] if built else build_wheel(machine, shared / "dist")


@pytest.fixture
def expected(shared: Path) -> dict[str, str]:
    """SHA-256 of every file as this interpreter exports it, from the checkout."""
    folder = shared / "expected"
    if not (folder / "made").exists():
        folder.mkdir(exist_ok=True)
        export([sys.executable, "-m", "fdabnn_deploy.cli.export"], folder)
        (folder / "made").touch()
    return hashes(folder)


def test_these_are_the_versions_that_the_package_names() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert tuple(re.findall(r"Programming Language :: Python :: (3\.\d+)", text)) == VERSIONS


@pytest.mark.long
@pytest.mark.parametrize("version", VERSIONS)
def test_an_installation(
    version: str, shared: Path, wheel: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    try:
        python = find_python(version, shared / f"python{version}")
    except RuntimeMissingError as error:
        # In CI, too: a machine has what its distribution has.
        pytest.skip(str(error))
    venv = tmp_path / "venv"
    try:
        start = time.monotonic()
        install(python, venv, wheel)
        print(f"{describe(venv)}: installed in {time.monotonic() - start:.0f} s")
        check(venv, version, constrained_numpy(), expected, tmp_path / "out")
        if version in WITH_NUMPY_1:
            prints([str(venv / "bin" / "pip"), "install", "--quiet", f"numpy=={NUMPY_1}"], tmp_path)
            check(venv, version, NUMPY_1, expected, tmp_path / "numpy1")
    finally:
        shutil.rmtree(venv, ignore_errors=True)
        shutil.rmtree(shared / f"python{version}", ignore_errors=True)


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def prints(command: Sequence[str], folder: Path) -> str:
    """Runs a command and returns its output; fails where it fails."""
    done = run(command, folder, clean_environment())
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def constrained_numpy() -> str:
    """The version in constraints.txt."""
    (found,) = re.findall(r"^numpy==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    return str(found)


def install(python: Path, venv: Path, wheel: Path) -> None:
    """Makes the environment as `make` makes its own; with PyTorch of PyPI, CUDA included, where no index has a CPU build."""
    command = [str(ROOT / "tools" / "make" / "venv.sh"), str(venv), f"{wheel}[export]"]
    environment = {**clean_environment(), "PYTHON": str(python)}
    done = run(command, venv.parent, environment)
    other = re.search(r"found no torch.*\(TORCH=(\S+)\)", done.stderr, re.DOTALL)
    if done.returncode == 6 and other:
        done = run(command, venv.parent, {**environment, "TORCH": other[1]})
    assert done.returncode == 0, done.stderr[-4000:]


def check(venv: Path, version: str, numpy: str, expected: dict[str, str], out: Path) -> None:
    """The environment is whole, and its tools write the same bytes as this interpreter; its runtimes compute the same bits of them."""
    start = time.monotonic()
    out.mkdir()
    check_packages(venv, version, numpy, out)
    export([str(venv / "bin" / "fdabnn-export")], out)
    assert hashes(out) == expected
    check_report(json.loads((out / "standard.json").read_text()), {"litert", "onnxruntime"})
    check_report(json.loads((out / "packed.json").read_text()), {"onnxruntime"})
    for file in FILES:
        command = [str(venv / "bin" / "fdabnn-parity"), str(SHIPPED[0]), file, "--inputs", SAMPLES]
        assert "the same bits" in prints(command, out)
    print(f"Python {version}, NumPy {numpy}: exported and compared in {time.monotonic() - start:.0f} s")


def check_packages(venv: Path, version: str, numpy: str, folder: Path) -> None:
    """The packages are the ones that were asked for, the project's is not the checkout's, and TensorFlow and LCE are not there."""
    python = str(venv / "bin" / "python")
    assert "No broken requirements found" in prints([python, "-m", "pip", "check"], folder)
    program = (
        "import importlib.util, json, sys, fdabnn_deploy, numpy\n"
        "absent = [importlib.util.find_spec(name) is None for name in ('larq_compute_engine', 'tensorflow')]\n"
        "print(json.dumps(['%d.%d' % sys.version_info[:2], numpy.__version__, fdabnn_deploy.__file__, absent]))"
    )
    *versions, place, absent = json.loads(prints([python, "-c", program], folder))
    assert versions == [version, numpy]
    assert Path(place).is_relative_to(venv)
    assert absent == [True, True]


def export(command: list[str], folder: Path) -> None:
    """Exports the shipped checkpoint into `standard/` and `packed/`, with the reports `standard.json` and `packed.json`."""
    for name, options in EXPORTS.items():
        outputs = ["--samples", SAMPLES, "--out", name, "--json", f"{name}.json"]
        prints([*command, str(SHIPPED[0]), *options, *outputs], folder)


def check_report(report: dict[str, Any], runtimes: set[str]) -> None:
    """Every file was compared on its runtime; LiteRT with our delegate, whose kernels a setting names."""
    rows = [row for row in report["parity"] if row["target"]]
    assert {row["runtime"] for row in rows} >= runtimes
    assert all(row["passed"] for row in rows)
    with_delegate = [row for row in rows if row["runtime"] == "litert" and "delegate" in row["setting"]]
    assert bool(with_delegate) == ("litert" in runtimes)
    assert report["proofs"]
    assert not report["failures"]


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every exported file."""
    return {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in FILES}


def describe(venv: Path) -> str:
    """Versions, number of packages and size of an environment's packages."""
    program = (
        "import platform, sysconfig, torch\n"
        "print(f'Python {platform.python_version()}, PyTorch {torch.__version__}', sysconfig.get_path('purelib'), sep='\\n')"
    )
    versions, site = prints([str(venv / "bin" / "python"), "-c", program], venv.parent).splitlines()
    size = sum(file.lstat().st_size for file in Path(site).rglob("*") if not file.is_symlink())
    return f"{versions}: {len(list(Path(site).glob('*.dist-info')))} packages, {size / 1e6:.0f} MB"
