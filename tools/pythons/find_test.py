from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from fdabnn_deploy.errors import RuntimeMissingError
from pythons.find import clean_environment, find_python

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_the_first_that_works_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [tmp_path / name for name in ("broken", "other", "good")]
    lines = ("exit 1", "echo 2.7 /usr/bin/python2.7", f"echo {RUNNING} /good/python")
    for folder, line in zip(folders, lines, strict=True):
        folder.mkdir()
        python = folder / f"python{RUNNING}"
        python.write_text(f"#!/bin/sh\n{line}\n")
        python.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    assert find_python(RUNNING, tmp_path / "packages") == Path("/good/python")
    assert not (tmp_path / "packages").exists()


def test_the_newest_of_pyenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("3.12.9", "3.12.10", "3.11.11"):
        python = tmp_path / "versions" / version / "bin" / f"python{version[:4]}"
        python.parent.mkdir(parents=True)
        python.write_text(f"#!/bin/sh\necho {version[:4]} {python}\n")
        python.chmod(0o755)
    pyenv = tmp_path / "bin" / "pyenv"
    pyenv.parent.mkdir()
    pyenv.write_text(f"#!/bin/sh\necho {tmp_path}\n")
    pyenv.chmod(0o755)
    monkeypatch.setenv("PATH", str(pyenv.parent))
    expected = tmp_path / "versions" / "3.12.10" / "bin" / "python3.12"
    assert find_python("3.12", tmp_path / "packages") == expected


def test_one_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        RuntimeMissingError, match=r"Python 3\.99 is not on this machine, and Debian has none"
    ):
        find_python("3.99", tmp_path / "packages")
    with pytest.raises(RuntimeMissingError, match="apt-get is missing"):
        find_python("3.14", tmp_path / "packages")


def test_no_variable_leads_to_this_pythons_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "somewhere")
    assert "somewhere" not in clean_environment().values()
    assert clean_environment()["PATH"] == os.environ["PATH"]
