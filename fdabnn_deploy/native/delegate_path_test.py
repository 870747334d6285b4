from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fdabnn_deploy
from fdabnn_deploy import native
from fdabnn_deploy.errors import RuntimeMissingError


def test_it_is_a_library_with_the_entry_points_of_a_delegate() -> None:
    path = fdabnn_deploy.delegate_path()
    library = ctypes.CDLL(path)
    assert hasattr(library, "tflite_plugin_create_delegate")
    assert hasattr(library, "tflite_plugin_destroy_delegate")
    assert path == native.delegate_path()


def test_without_the_library_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    with pytest.raises(RuntimeMissingError, match=r"libfdabnn_delegate\.so is missing: it exists for Linux"):
        fdabnn_deploy.delegate_path()


def test_the_runner_is_a_program() -> None:
    done = subprocess.run([native.runner_path(), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("fdabnn-runner ")
    assert os.access(native.runner_path(), os.X_OK)


def test_without_the_runner_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    with pytest.raises(RuntimeMissingError, match=r"fdabnn-runner is missing: it exists for Linux"):
        native.runner_path()
    with pytest.raises(RuntimeMissingError, match=r"aarch64/fdabnn-runner is missing: it exists for Linux"):
        native.runner_path("aarch64")


def test_it_loads_no_framework() -> None:
    program = (
        "import sys, fdabnn_deploy; assert 'fdabnn_deploy.native' not in sys.modules; fdabnn_deploy.delegate_path();"
        "assert not {'ai_edge_litert', 'numpy', 'onnxruntime', 'tensorflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_library_of_the_processor_goes_before_the_one_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    own, foreign = tmp_path / native.DELEGATE, tmp_path / "aarch64" / native.DELEGATE
    own.touch()
    assert native.delegate_path() == str(own)
    with pytest.raises(RuntimeMissingError, match=r"aarch64/libfdabnn_delegate\.so is missing"):
        native.delegate_path("aarch64")
    foreign.parent.mkdir()
    foreign.touch()
    assert native.delegate_path() == native.delegate_path("aarch64") == str(foreign)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert native.delegate_path() == str(own)


def test_macos_has_its_own_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    (tmp_path / native.DELEGATE).touch()
    with pytest.raises(RuntimeMissingError, match=r"libfdabnn_delegate\.dylib is missing"):
        native.delegate_path()
    (tmp_path / native.DELEGATE_MACOS).touch()
    assert native.delegate_path() == str(tmp_path / native.DELEGATE_MACOS)
