from __future__ import annotations

import base64
import dataclasses
import hashlib
import socket
import zipfile
from pathlib import Path

import pytest

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.measure.devices import libraries
from fdabnn_deploy.measure.devices.libraries import extract, fetch, find, runtimes

LIBRARY = "ai_edge_litert/libLiteRt.so"
CONTENT = b"\x7fELF and so on"


def quiet(_: str) -> None:
    """Tells nobody."""


def wheel(folder: Path, content: bytes = CONTENT, recorded: bytes = CONTENT) -> Path:
    digest = base64.urlsafe_b64encode(hashlib.sha256(recorded).digest()).rstrip(b"=").decode()
    path = folder / "ai_edge_litert-2.3.0-cp311-cp311-manylinux_2_27_aarch64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(LIBRARY, content)
        archive.writestr(
            "ai_edge_litert-2.3.0.dist-info/RECORD", f"x.py,,\n{LIBRARY},sha256={digest},{len(content)}\n"
        )
    return path


def test_a_library_fits_the_wheels_record(tmp_path: Path) -> None:
    assert extract(wheel(tmp_path), runtimes()[".tflite"].library) == ("libLiteRt.so", CONTENT)
    with pytest.raises(RuntimeMissingError, match="does not fit its recorded hash"):
        extract(wheel(tmp_path, recorded=b"other"), runtimes()[".tflite"].library)
    with pytest.raises(RuntimeMissingError, match="holds no library"):
        extract(wheel(tmp_path), runtimes()[".onnx"].library)
    (tmp_path / "cut.whl").write_bytes(wheel(tmp_path).read_bytes()[:40])
    with pytest.raises(RuntimeMissingError, match="is damaged"):
        extract(tmp_path / "cut.whl", runtimes()[".tflite"].library)


@pytest.mark.parametrize("suffix", [".tflite", ".onnx"])
def test_the_library_of_this_machine_is_that_of_the_package(suffix: str) -> None:
    path = libraries._installed(runtimes()[suffix])
    assert path.read_bytes()[:4] == b"\x7fELF"


def test_without_an_index_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(RuntimeMissingError) as refused:
        fetch(runtimes()[".tflite"], "2.3.0", "aarch64", quiet)
    assert "LiteRT 2.3.0 for aarch64 cannot be fetched" in str(refused.value)
    folder = tmp_path / "fdabnn-runtimes" / "ai-edge-litert-2.3.0-aarch64"
    assert str(folder) in str(refused.value)
    # And the remedy works.
    folder.mkdir(parents=True)
    (folder / "libLiteRt.so").write_bytes(CONTENT)
    assert fetch(runtimes()[".tflite"], "2.3.0", "aarch64", quiet) == folder / "libLiteRt.so"


def test_a_silent_index_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as index:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{index.getsockname()[1]}/simple")
        monkeypatch.setattr(libraries, "_PIP_SECONDS", 2)
        with pytest.raises(RuntimeMissingError, match=r"cannot be fetched \(pip did not end within 2 s\)"):
            fetch(runtimes()[".tflite"], "2.3.0", "aarch64", quiet)


def test_a_package_without_the_library_is_to_be_upgraded() -> None:
    """As that of an ONNX Runtime in which the library is part of the Python module."""
    runtime = dataclasses.replace(runtimes()[".onnx"], library="no/such")
    with pytest.raises(RuntimeMissingError) as refused:
        libraries._installed(runtime)
    assert "has no libonnxruntime.so beside its Python module" in str(refused.value)
    assert str(refused.value).endswith("pip install --upgrade onnxruntime")


def test_other_files_are_refused() -> None:
    with pytest.raises(UsageError, match=r"ends in '\.pt' cannot be profiled"):
        find("x86_64", ".pt", quiet)
