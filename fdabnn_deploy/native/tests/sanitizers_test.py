"""The C++ drivers under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer of g++: kernels, delegate, operators."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from fdabnn_deploy.system.programs_testing import wanted_compiler

pytestmark = pytest.mark.programs

NATIVE = Path(__file__).parents[1]
SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
CORPORA = {name: Path(__file__).parent / f"{name}_corpus.txt" for name in ("delegate", "custom_ops")}
"""Inputs that libFuzzer kept for delegate_fuzz.cc and custom_ops_fuzz.cc, in hexadecimal digits, one a line."""
ENVIRONMENT = {"ASAN_OPTIONS": "detect_leaks=1", "TSAN_OPTIONS": "halt_on_error=1"}


def load_build() -> ModuleType:
    """tools/native/build.py: which flags belong to which file."""
    spec = importlib.util.spec_from_file_location(
        "fdabnn_native_build", NATIVE.parents[1] / "tools" / "native" / "build.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=SANITIZERS)
def drivers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A sanitizer, and the folder with the drivers built for it."""
    # The compiler of the PyPI package ziglang brings no sanitizers.
    compiler = wanted_compiler("g++", ["-std=c++17", *SANITIZERS[request.param]])
    build, folder = load_build(), tmp_path_factory.mktemp(request.param)
    # -O1: the sanitizers look at what the source says; at -O3 they take minutes to compile it.
    flags = ["-std=c++17", "-O1", "-g1", "-ffp-contract=off", "-pthread", "-I.", *SANITIZERS[request.param]]

    def compile_one(source: Path) -> None:
        instructions = build.instruction_flags(source, platform.machine())
        made = folder / f"{source.stem}.o"
        subprocess.run(
            [compiler, *flags, *instructions, "-c", str(source), "-o", str(made)], cwd=NATIVE, check=True
        )

    parts = {
        "kernels_driver": ["kernel_tests/drawn", "tests/kernels_driver"],
        "delegate_driver": ["tests/delegate_case", "tests/delegate_runtime", "tests/delegate_driver"],
        "custom_ops_driver": ["tests/custom_ops_case", "tests/custom_ops_runtime", "tests/custom_ops_driver"],
    }
    own = [NATIVE / f"{name}.cc" for names in parts.values() for name in names]
    library = build.sources(["kernels", "engine", "litert", "onnxruntime"])
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, [*library, *own]))
    for driver, names in parts.items():
        objects = [str(folder / f"{Path(name).stem}.o") for name in (*map(str, library), *names)]
        subprocess.run([compiler, *flags, *objects, "-o", str(folder / driver)], check=True)
    return request.param, folder


def run(driver: Path, *arguments: object) -> str:
    done = subprocess.run(
        [str(driver), *map(str, arguments)],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr == ""
    return done.stdout


def test_kernels(drivers: tuple[str, Path]) -> None:
    sanitizer, folder = drivers
    rounds, threads = {"address": (300, 1), "thread": (20, 8)}[sanitizer]
    run(folder / "kernels_driver", rounds, threads)


def check_driver(name: str, folder: Path, rounds: int, threads: int, scratch: Path) -> None:
    """Runs a driver on drawn cases and on its corpus; many of them run, and many are refused."""
    kept = []
    for i, line in enumerate(CORPORA[name].read_text().splitlines()):
        kept.append(scratch / str(i))
        kept[-1].write_bytes(bytes.fromhex(line))
    ran, refused = re.findall(r"\d+", run(folder / f"{name}_driver", rounds, threads, *kept))
    assert int(ran) + int(refused) == rounds * threads + len(kept)
    assert int(ran) > 0.1 * rounds
    assert int(refused) > 0.1 * rounds


def test_delegate(drivers: tuple[str, Path], tmp_path: Path) -> None:
    """Sound and damaged operators; what a fuzzer found to be worth keeping; eight interpreters in threads."""
    sanitizer, folder = drivers
    rounds, threads = {"address": (4000, 1), "thread": (100, 8)}[sanitizer]
    check_driver("delegate", folder, rounds, threads, tmp_path)


def test_custom_ops(drivers: tuple[str, Path], tmp_path: Path) -> None:
    """Sound and damaged operators of ONNX Runtime, three threads in each, eight of them at a time; what a fuzzer kept."""
    sanitizer, folder = drivers
    rounds, threads = {"address": (3000, 1), "thread": (40, 8)}[sanitizer]
    check_driver("custom_ops", folder, rounds, threads, tmp_path)
