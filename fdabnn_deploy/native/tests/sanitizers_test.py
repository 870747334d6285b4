"""The kernels' C++ driver under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer of g++."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

NATIVE = Path(__file__).parents[1]
SANITIZERS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
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


def build_driver(folder: Path, sanitizer: str) -> Path:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ on this machine; the compiler of the PyPI package ziglang brings no sanitizers")
    build = load_build()
    # -O1: the sanitizers look at what the source says; at -O3 they take minutes to compile it.
    flags = ["-std=c++17", "-O1", "-g1", "-ffp-contract=off", "-pthread", "-I.", *SANITIZERS[sanitizer]]

    def compile_one(source: Path) -> str:
        made = str(folder / f"{source.stem}.o")
        instructions = build.instruction_flags(source, platform.machine())
        subprocess.run(
            [compiler, *flags, *instructions, "-c", str(source), "-o", made], cwd=NATIVE, check=True
        )
        return made

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(
            pool.map(compile_one, [*build.sources(["kernels"]), NATIVE / "tests" / "kernels_driver.cc"])
        )
    driver = folder / "kernels_driver"
    subprocess.run([compiler, *flags, *objects, "-o", str(driver)], check=True)
    return driver


@pytest.mark.parametrize(("sanitizer", "rounds", "threads"), [("address", 300, 1), ("thread", 20, 8)])
def test_kernels(tmp_path: Path, sanitizer: str, rounds: int, threads: int) -> None:
    driver = build_driver(tmp_path, sanitizer)
    done = subprocess.run(
        [str(driver), str(rounds), str(threads)],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr == ""
