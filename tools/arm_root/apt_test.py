from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from arm_root.apt import Apt
from arm_root.release import Release, read_release
from fdabnn_deploy.errors import RuntimeMissingError

NOWHERE = "http://127.0.0.1:9/debian"  # the port "discard": nobody listens


@pytest.fixture
def release() -> Release:
    """This machine's; skips where it has no arm64 packages."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt on this machine")
    try:
        return read_release()
    except RuntimeMissingError as error:
        pytest.skip(str(error))


def test_the_systems_hooks_and_sources_are_out(release: Release, tmp_path: Path) -> None:
    hook = tmp_path / "hooks.conf"
    hook.write_text('APT::Update::Post-Invoke { "exit 42"; };\nDPkg::Post-Invoke { "exit 42"; };\n')
    Apt(release, tmp_path / "state", None)
    ours = (tmp_path / "state" / "apt.conf").read_text()
    both = tmp_path / "both.conf"
    both.write_text(hook.read_text() + ours)
    shown = subprocess.run(
        ["apt-config", "-c", str(both), "dump"], capture_output=True, text=True, check=True
    ).stdout
    assert "exit 42" not in shown
    assert 'APT::Architecture "arm64";' in shown
    assert 'APT::Architectures:: "arm64";' in shown
    assert 'APT::Architectures:: "amd64";' not in shown
    assert f'Dir::State::status "{tmp_path}/state/status";' in shown


def test_an_archive_that_cannot_be_reached_is_named(release: Release, tmp_path: Path) -> None:
    apt = Apt(release, tmp_path / "state", NOWHERE)
    with pytest.raises(
        RuntimeMissingError,
        match=rf"apt-get update failed for .*, arm64, from {NOWHERE}: .*check the network",
    ):
        apt.update()


def test_a_release_without_a_python_says_so(release: Release, tmp_path: Path) -> None:
    apt = Apt(release, tmp_path / "state", None)
    with pytest.raises(RuntimeMissingError, match=r"has no Python from 3\.11 on for arm64"):
        apt.choose_python()


def test_without_keys(release: Release, tmp_path: Path) -> None:
    for name, package in (("debian", "debian-archive-keyring"), ("ubuntu", "ubuntu-keyring")):
        archive = replace(release.archive, keyring=tmp_path / f"{name}-archive-keyring.gpg")
        with pytest.raises(RuntimeMissingError, match=f"apt install {package}$"):
            Apt(replace(release, archive=archive), tmp_path / name, None)


def test_without_apt(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeMissingError, match="apt-get is missing: use a Debian or Ubuntu machine"):
        Apt(release, tmp_path / "state", None)
