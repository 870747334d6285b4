"""Contents of the wheels, and that they are the same bytes wherever they are built."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import struct
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from native import binaries_testing as binaries
from native.build import WHEELS, products, supported_machine
from native.wheels import ROOT, WheelError, build_source, build_wheel

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
STEM = f"fdabnn_deploy-{PROJECT['version']}"
FOLDERS = {
    "fdabnn_deploy": "fdabnn_deploy",
    "fdabnn_onnx": "converters/fdabnn_onnx",
    "fdabnn_tflite": "converters/fdabnn_tflite",
    "fdabnn_models": "models/fdabnn_models",
}
LIB = "fdabnn_deploy/native/lib/"
everywhere = pytest.mark.parametrize("name", WHEELS)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(supported_machine() is None, reason="no native library for this platform"),
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels by name, and the source archive without one."""
    out = tmp_path_factory.mktemp("dist")
    return {"": build_source(out), **{name: build_wheel(name, out) for name in WHEELS}}


def contents(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


@everywhere
def test_its_name_and_metadata(built: dict[str, Path], name: str) -> None:
    assert built[name].name == f"{STEM}-py3-none-{WHEELS[name].platform}.whl"
    files = contents(built[name])
    wheel = Parser().parsestr(files[f"{STEM}.dist-info/WHEEL"].decode())
    assert (wheel["Tag"], wheel["Root-Is-Purelib"]) == (f"py3-none-{WHEELS[name].platform}", "false")
    metadata = Parser().parsestr(files[f"{STEM}.dist-info/METADATA"].decode())
    assert (metadata["Name"], metadata["Version"]) == (PROJECT["name"], PROJECT["version"])
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    assert files[f"{STEM}.dist-info/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    base = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(base) == sorted(PROJECT["dependencies"])


@everywhere
def test_its_record_lists_every_file(built: dict[str, Path], name: str) -> None:
    files = contents(built[name])
    record = f"{STEM}.dist-info/RECORD"
    rows = {path: (digest, size) for path, digest, size in csv.reader(files[record].decode().splitlines())}
    assert rows.pop(record) == ("", "")
    expected = {}
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        expected[path] = (f"sha256={digest}", str(len(content)))
    del expected[record]
    assert rows == expected


@everywhere
def test_it_holds_the_packages_and_no_tests_or_sources_of_the_library(
    built: dict[str, Path], name: str
) -> None:
    found = {
        path
        for path in contents(built[name])
        if not path.startswith((f"{STEM}.dist-info/", LIB)) and path.endswith(".py")
    }
    expected = {
        f"{package}/{file.relative_to(ROOT / folder).as_posix()}"
        for package, folder in FOLDERS.items()
        for file in (ROOT / folder).rglob("*.py")
        if not file.name.endswith(("_test.py", "_testing.py")) and file.name != "conftest.py"
    }
    assert found == expected
    others = {path for path in contents(built[name]) if not path.endswith(".py")}
    headers = {path for path in others if path.endswith((".h", ".cc", ".map", ".txt", ".o"))}
    assert headers == {"fdabnn_deploy/native/c_api/fdabnn.h", f"{STEM}.dist-info/entry_points.txt"}
    assert sum(path.endswith("py.typed") for path in others) == len(FOLDERS)


@everywhere
def test_what_is_compiled(built: dict[str, Path], name: str) -> None:
    files = contents(built[name])
    expected = {
        (LIB if folder == "." else f"{LIB}{folder}/") + product.name: target
        for folder, target in WHEELS[name].targets.items()
        for product in products(target)
    }
    assert {path for path in files if path.startswith(LIB)} == set(expected)
    for path, target in expected.items():
        content = files[path]
        if "macos" in target:
            check_macos(content)
        else:
            assert binaries.machine(content) == target.split("-")[0]
            assert (2, 0) < binaries.glibc(content) <= (2, 17)
            assert binaries.needed(content) <= binaries.KNOWN
        # Of a system's own Python the prefix is /usr, where libraries of macOS lie as well.
        prefixes = {ROOT, Path(sys.prefix), Path(sys.base_prefix), Path.home()} - {Path("/usr")}
        for folder in prefixes:
            assert os.fsencode(folder) + b"/" not in content


def check_macos(content: bytes) -> None:
    commands = binaries.load_commands(content)
    (version,) = commands[binaries.BUILD_VERSION]
    platform, oldest = struct.unpack_from("<II", version, 8)
    assert (platform, oldest >> 16) == (1, 11)
    assert [command[24:].rstrip(b"\0") for command in commands[binaries.LOAD_DYLIB]] == [
        b"/usr/lib/libSystem.B.dylib"
    ]
    # A processor of Apple runs nothing that is not signed, if only by its linker.
    (signature,) = commands[binaries.CODE_SIGNATURE]
    start, size = struct.unpack_from("<II", signature, 8)
    assert start + size == len(content)
    assert b"\0libfdabnn_delegate.dylib\0" in content[start:]
    for symbol in (b"tflite_plugin_create_delegate", b"RegisterCustomOps", b"fdabnn_bconv_run"):
        assert b"\0_" + symbol + b"\0" in content


@everywhere
def test_modes_and_times_are_fixed(built: dict[str, Path], name: str) -> None:
    with zipfile.ZipFile(built[name]) as archive:
        for info in archive.infolist():
            mode = 0o755 if info.filename.startswith(LIB) else 0o644
            assert (info.external_attr >> 16 & 0o777, info.date_time) == (mode, (2020, 2, 2, 0, 0, 0))


def test_all_wheels_hold_the_same_python_files(built: dict[str, Path]) -> None:
    first, *others = (
        {path: content for path, content in contents(built[name]).items() if path.endswith(".py")}
        for name in WHEELS
    )
    assert first
    assert all(files == first for files in others)


def elsewhere(built: dict[str, Path], name: str, folder: Path) -> list[Path]:
    """The source archive and the wheel, made from the source archive, by everything else than what made those in `built`.

    What zig keeps of its own libraries is shared, and nothing of ours.
    """
    with tarfile.open(built[""]) as archive:
        # Python before 3.11.4 has no filters; the archive is our own.
        if hasattr(tarfile, "data_filter"):
            archive.extractall(folder, filter="data")
        else:
            archive.extractall(folder)
    for file in (folder / STEM).rglob("*"):
        os.utime(file, (1_000_000_000, 1_000_000_000))
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "FDABNN", "CI"))},
        "TZ": "Asia/Kathmandu",
        "LC_ALL": "C",
        "PYTHONHASHSEED": "7",
    }
    done = subprocess.run(
        [sys.executable, "tools/native/wheels.py", "--out", "made", name],
        cwd=folder / STEM,
        env=environment,
        umask=0o077,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    files = [folder / STEM / "made" / file for _, _, file in lines]
    assert [digest for digest, _, _ in lines] == [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    ]
    return files


# The others take a minute each: there is much to compile.
@pytest.mark.parametrize(
    "name", [name if name == "aarch64" else pytest.param(name, marks=pytest.mark.long) for name in WHEELS]
)
def test_two_builds_give_the_same_bytes(built: dict[str, Path], name: str, tmp_path: Path) -> None:
    files = elsewhere(built, name, tmp_path / "a folder of another name")
    assert [file.name for file in files] == [built[""].name, built[name].name]
    for file in files:
        # Not the contents, which pytest would print.
        same = file.read_bytes() == (built[""].parent / file.name).read_bytes()
        assert same, f"{file.name}: {differing(file, built[''].parent / file.name)}"


def differing(a: Path, b: Path) -> list[str]:
    if a.suffix != ".whl":
        return ["the archive"]
    first, second = contents(a), contents(b)
    return sorted(path for path in first.keys() | second.keys() if first.get(path) != second.get(path))


ELSEWHERE = """
import platform, sys
platform.system = lambda: "Windows"
sys.modules["fcntl"] = None
from hatchling.build import build_wheel
print(build_wheel(sys.argv[1]))
"""


def test_where_there_is_no_library_the_package_comes_without_it(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "FDABNN_WHEEL"}
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{STEM}-py3-none-any.whl"
    assert "installing without them" in done.stdout + done.stderr
    assert not any(path.startswith(LIB) for path in contents(tmp_path / f"{STEM}-py3-none-any.whl"))


def test_an_unknown_wheel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WheelError, match=r"FDABNN_WHEEL is 'windows': give one of x86_64, aarch64, macos"):
        build_wheel("windows", tmp_path)
