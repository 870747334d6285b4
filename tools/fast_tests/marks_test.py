"""`make test-fast` chooses by marks: a fast test that loads a runtime fails, and fast tests are most of all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fast_tests.refuse_runtimes import RUNTIMES

ROOT = Path(__file__).parents[2]


def fast(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    """Runs a test file as `make test-fast` would."""
    (folder / "one_test.py").write_text(source)
    (folder / "conftest.py").write_text(
        (ROOT / "conftest.py").read_text().replace("Path(__file__).parent\n", f"Path({str(ROOT)!r})\n")
    )
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT / 'tools'}\nmarkers =\n    runtimes\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--refuse-runtimes",
        str(folder),
    ]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("runtime", sorted(RUNTIMES - {"tflite_runtime"}))
def test_a_fast_test_that_loads_a_runtime_fails(tmp_path: Path, runtime: str) -> None:
    done = fast(tmp_path, f"def test_it() -> None:\n    import {runtime}\n")
    assert done.returncode == 1
    assert f"imports {runtime}, an external runtime: mark the test `runtimes`" in done.stdout


def test_so_does_one_that_starts_a_program_that_loads_a_runtime(tmp_path: Path) -> None:
    source = (
        "import subprocess, sys\n\ndef test_it() -> None:\n"
        "    subprocess.run([sys.executable, '-c', 'import onnxruntime'], check=True)\n"
    )
    done = fast(tmp_path, source)
    assert done.returncode == 1
    assert "a fast test started a program that imports onnxruntime" in done.stdout


def test_looking_whether_a_runtime_is_installed_is_allowed(tmp_path: Path) -> None:
    source = "from importlib.util import find_spec\n\ndef test_it() -> None:\n    assert find_spec('onnxruntime')\n"
    assert fast(tmp_path, source).returncode == 0


def test_a_marked_file_is_not_even_imported(tmp_path: Path) -> None:
    source = "import onnxruntime\nimport pytest\n\npytestmark = pytest.mark.runtimes\n"
    done = fast(tmp_path, source)
    assert done.returncode in {4, 5}, done.stdout
    assert "external runtime" not in done.stdout


@pytest.mark.slow
def test_fast_tests_are_at_least_60_percent_of_all() -> None:
    def count(*arguments: str) -> int:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "-p",
            "no:cacheprovider",
            *arguments,
        ]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=environment)
        return sum("::" in line for line in done.stdout.splitlines())

    assert count("--refuse-runtimes", "-m", "not long and not slow and not runtimes") >= 0.6 * count(
        "-m", "not long"
    )
