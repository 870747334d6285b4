from __future__ import annotations

import json
from pathlib import Path

import pytest

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.runtimes.emulator import arm_root
from fdabnn_deploy.runtimes.emulator.qemu_aarch64 import QemuRuntime

pytestmark = pytest.mark.programs


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a program called qemu-aarch64, no root, and an empty cache."""
    program = tmp_path / "bin" / "qemu-aarch64"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'qemu-aarch64 version 9.1.0 (Debian 1:9.1.0)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(arm_root.VARIABLE, raising=False)
    return program


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / arm_root.RECORD).write_text(json.dumps({"python": "usr/bin/python3.11"}))
    return folder


def test_without_an_emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(RuntimeMissingError, match="install it with  apt install qemu-user"):
        arm_root.find()


def test_without_a_root_the_command_that_makes_one_is_named(
    emulator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        RuntimeMissingError, match=r"no arm64 root in .*: make one with  python tools/arm_root"
    ):
        arm_root.find()
    with pytest.raises(RuntimeMissingError, match="make one with  python tools/arm_root"):
        QemuRuntime().version()
    monkeypatch.setenv(arm_root.VARIABLE, str(tmp_path))
    with pytest.raises(RuntimeMissingError, match=f"{tmp_path} is not an arm64 root: make one"):
        arm_root.find()
    (tmp_path / arm_root.RECORD).write_text("{}")
    with pytest.raises(RuntimeMissingError, match=r"json is damaged: make one"):
        arm_root.find()


def test_the_one_that_is_named_goes_before_the_one_made_last(
    emulator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = make(arm_root.cache_folder() / "0123")
    (arm_root.cache_folder() / arm_root.CURRENT).symlink_to("0123")
    assert arm_root.find().root == last
    named = make(tmp_path / "named")
    monkeypatch.setenv(arm_root.VARIABLE, str(named))
    guest = arm_root.find()
    assert guest.root == named
    assert guest.command("-c", "pass") == [
        *(str(emulator), "-L", str(named), str(named / "usr" / "bin" / "python3.11"), "-c", "pass"),
    ]
    site = named / "usr" / "local" / "lib" / "python3.11" / "dist-packages"
    (site / "ai_edge_litert-2.3.0.dist-info").mkdir(parents=True)
    assert guest.package_version("ai-edge-litert") == "2.3.0"
    assert QemuRuntime().version() == "9.1.0 (LiteRT 2.3.0, ONNX Runtime ?)"


def test_this_machines_own_libraries_stay_out(
    emulator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/x86")
    monkeypatch.setenv("PYTHONPATH", "/opt/x86")
    monkeypatch.setenv("FDABNN_KERNELS", "scalar")
    monkeypatch.delenv("QEMU_CPU", raising=False)
    guest = arm_root.open_root(make(tmp_path / "root"))
    environment = guest.environment(Path("/a"), Path("/b"), MORE="1")
    assert environment["PYTHONPATH"] == "/a:/b"
    assert "LD_LIBRARY_PATH" not in environment
    assert environment["FDABNN_KERNELS"] == "scalar"
    assert environment["QEMU_CPU"] == arm_root.CPU
    assert environment["MORE"] == "1"
    monkeypatch.setenv("QEMU_CPU", "neoverse-n1")
    assert guest.environment()["QEMU_CPU"] == "neoverse-n1"
