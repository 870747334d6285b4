from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy import native
from fdabnn_deploy.cli import runner
from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.measure.devices import libraries
from fdabnn_deploy.measure.devices.libraries import runtimes
from fdabnn_deploy.verify.capsule import Capsule, Tensor, write_capsule

pytestmark = pytest.mark.skipif(
    not Path(native._FOLDER / native.RUNNER).is_file(), reason="no runner for this platform"
)


def run(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fdabnn_deploy.cli.runner", *map(str, args)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def library(suffix: str) -> str:
    return str(libraries._installed(runtimes()[suffix]))


def capsule(path: Path, target: str) -> Path:
    values = np.zeros((1, 1, 1, 1), np.float32)
    write_capsule(path, Capsule(target, True, b"no model", (Tensor("x", values),), (Tensor("y", values),)))
    return path


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_the_libraries_are_those_of_the_installed_packages(suffix: str) -> None:
    given = ["--threads", "2", f"a{suffix}", "--per-op"]
    named = ["--runtime", library(suffix), "--delegate", native.delegate_path()]
    assert runner.command(given) == [native.runner_path(), *named, *given]


@pytest.mark.parametrize("target", ["tflite", "onnx"])
def test_a_capsule_says_which_runtime_it_is_for(target: str, tmp_path: Path) -> None:
    found = runner.command(["--selftest", str(capsule(tmp_path / "c", target))])
    assert found[1:3] == ["--runtime", library(f".{target}")]


def test_libraries_of_the_users_choice_stay() -> None:
    assert runner.command(["--runtime=r.so", "a.onnx"])[1:3] == ["--delegate", native.delegate_path()]
    assert runner.command(["a.onnx", "--delegate", "d.so"])[1:3] == ["--runtime", library(".onnx")]
    both = ["a.onnx", "--delegate", "d.so", "--runtime", "r.so"]
    assert runner.command(both) == [native.runner_path(), *both]


def test_a_value_is_no_model() -> None:
    assert runner.command(["--json", "a.onnx", "b.tflite"])[2] == library(".tflite")
    assert runner.command(["--runs", "3", "--", "b.tflite"])[2] == library(".tflite")


@pytest.mark.parametrize(
    "args", [["--help"], ["a.tflite", "--version"], ["a.txt"], [], ["--selftest", "absent"]]
)
def test_what_needs_no_library_goes_as_it_is(args: list[str]) -> None:
    assert runner.command(args) == [native.runner_path(), *args]


def test_the_options_with_a_value_are_the_programs() -> None:
    said = run("--help").stdout
    assert set(re.findall(r"^  (--[\w-]+) (?:[A-Z]|on)", said, re.MULTILINE)) == runner.WITH_VALUE


def test_a_missing_runtime_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = replace(runtimes()[".tflite"], package="no-such-package")
    monkeypatch.setattr(libraries, "runtimes", lambda: {".tflite": missing})
    with pytest.raises(RuntimeMissingError):
        runner.command(["a.tflite"])
    assert runner.main(["a.tflite"]) == 6
    said = capsys.readouterr().err
    assert said.startswith("fdabnn-runner: LiteRT is not installed: pip install no-such-package")
    assert said.count("\n") == 1


def test_a_program_that_cannot_be_started_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / native.RUNNER).write_bytes(b"")
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    assert runner.main(["--help"]) == 6
    assert "cannot start" in capsys.readouterr().err


def test_the_exit_code_is_the_programs(tmp_path: Path) -> None:
    done = run("--selftest", capsule(tmp_path / "c", "tflite"))
    assert (done.returncode, done.stderr.startswith("fdabnn-runner: ")) == (3, True), done.stderr
    done = run("--no-such-option")
    assert (done.returncode, done.stderr.startswith("fdabnn-runner: unknown option")) == (2, True), (
        done.stderr
    )
