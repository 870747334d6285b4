from __future__ import annotations

import ctypes
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


def test_without_the_library_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_FOLDER", tmp_path)
    with pytest.raises(RuntimeMissingError, match=r"libfdabnn_delegate\.so is missing: install"):
        fdabnn_deploy.delegate_path()


def test_it_loads_no_framework() -> None:
    program = (
        "import sys, fdabnn_deploy; assert 'fdabnn_deploy.native' not in sys.modules; fdabnn_deploy.delegate_path();"
        "assert not {'ai_edge_litert', 'numpy', 'onnxruntime', 'tensorflow', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
