"""Without the packages themselves, which runtime_tests/python_versions_test.py unpacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fdabnn_deploy.errors import RuntimeMissingError
from pythons import debian


def test_the_interpreter_starts_with_its_own_loader_and_libraries(tmp_path: Path) -> None:
    root = tmp_path / "a root"
    folder, python = root / "usr" / "lib" / "x86_64-linux-gnu", root / "usr" / "bin" / "python3.14"
    folder.mkdir(parents=True)
    python.parent.mkdir()
    python.touch()
    loader = folder / "ld-linux-x86-64.so.2"
    loader.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    loader.chmod(0o755)
    debian._start_with_its_libraries(python, root)
    link = tmp_path / "python"
    link.symlink_to(python)
    done = subprocess.run([str(link), "-c", "a  b"], capture_output=True, text=True, check=True)
    # A virtual environment knows itself by the name that its interpreter is started with.
    expected = ["--library-path", str(folder), "--argv0", str(link), f"{python}-program", "-c", "a  b"]
    assert done.stdout.splitlines() == expected


def test_pip_is_the_one_that_was_unpacked(tmp_path: Path) -> None:
    settings = tmp_path / "usr" / "lib" / "python3.14" / "_sysconfigdata__linux.py"
    settings.parent.mkdir(parents=True)
    settings.write_text("build_time_vars = {'WHEEL_PKG_DIR': '/usr/share/python-wheels/'}\n")
    debian._find_pip_in(tmp_path, "3.14")
    expected = f"build_time_vars = {{'WHEEL_PKG_DIR': '{tmp_path}/usr/share/python-wheels/'}}\n"
    assert settings.read_text() == expected


@pytest.mark.parametrize(("version", "machine"), [("3.12", "x86_64"), ("3.14", "sparc")])
def test_debian_has_not_every_python(
    version: str, machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(RuntimeMissingError, match=f"Python {version} .* Debian has none for {machine}"):
        debian.unpack(version, tmp_path / "packages")
    assert not (tmp_path / "packages").exists()
