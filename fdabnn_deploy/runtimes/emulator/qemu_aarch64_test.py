"""Messages where a part of the emulator is missing; runtime_tests/qemu_aarch64_test.py runs models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fdabnn_deploy import native
from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.runtimes.emulator import arm_root
from fdabnn_deploy.runtimes.emulator.qemu_aarch64 import QemuRuntime


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is found as qemu-aarch64, tells its version, and ends at once when it is to run something."""
    program = tmp_path / "bin" / "qemu-aarch64"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        '[ "$1" = --version ] && echo "qemu-aarch64 version 7.2.0" && exit\n'
        "echo 'no such thing' >&2\n"
        "exit 3\n"
    )
    program.chmod(0o755)
    root = tmp_path / "root"
    root.mkdir()
    (root / arm_root.RECORD).write_text(json.dumps({"python": "usr/bin/python3.11"}))
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv(arm_root.VARIABLE, str(root))
    return program


def test_without_the_library(emulator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    with pytest.raises(
        RuntimeMissingError,
        match=r"library for aarch64 is missing: wheels for x86-64 bring it; .*python tools/arm_root",
    ):
        QemuRuntime().open(tmp_path / "model.tflite")


def test_a_process_that_ends_is_an_error_with_what_it_said(
    emulator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "aarch64" / native.DELEGATE
    library.parent.mkdir()
    library.touch()
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    with pytest.raises(RuntimeError, match="ended with status 3 on 'open': no such thing"):
        QemuRuntime().open(tmp_path / "model.tflite")


def test_without_an_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for ask in (QemuRuntime().version, lambda: QemuRuntime().open(tmp_path / "model.onnx")):
        with pytest.raises(RuntimeMissingError, match="install it with  apt install qemu-user"):
            ask()
