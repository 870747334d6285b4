from __future__ import annotations

from pathlib import Path

import pytest

from arm_root.release import read_release
from fdabnn_deploy.errors import RuntimeMissingError

BOOKWORM = """PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
"""
NOBLE = """PRETTY_NAME="Ubuntu 24.04.1 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=noble
"""
MINT = """# a comment
NAME="Linux Mint"
VERSION_ID="22"
ID=linuxmint
ID_LIKE="ubuntu debian"
VERSION_CODENAME=wilma
UBUNTU_CODENAME=noble
"""
LMDE = 'NAME="LMDE"\nVERSION_ID="6"\nID=linuxmint\nID_LIKE=debian\nVERSION_CODENAME=faye\nDEBIAN_CODENAME=bookworm\n'
DEBIAN = "http://deb.debian.org/debian"
PORTS = "http://ports.ubuntu.com/ubuntu-ports"


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        (BOOKWORM, "Debian 12", f"/debian-archive-keyring.gpg] {DEBIAN} bookworm main\n"),
        (NOBLE, "Ubuntu 24.04", f"/ubuntu-archive-keyring.gpg] {PORTS} noble main universe\n"),
        (MINT, "Linux Mint 22", f"/ubuntu-archive-keyring.gpg] {PORTS} noble main universe\n"),
        (LMDE, "LMDE 6", f"/debian-archive-keyring.gpg] {DEBIAN} bookworm main\n"),
    ],
)
def test_releases(text: str, name: str, source: str, tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text(text)
    release = read_release(file)
    assert release.name == name
    assert release.source() == f"deb [arch=arm64 signed-by=/usr/share/keyrings{source}"
    assert " https://mirror.example/ports " in release.source("https://mirror.example/ports")


@pytest.mark.parametrize(
    "text", ['ID=fedora\nPRETTY_NAME="Fedora Linux 41"\nVERSION_CODENAME=""\n', "ID=debian\n", ""]
)
def test_others_are_told_what_to_do(text: str, tmp_path: Path) -> None:
    file = tmp_path / "os-release"
    file.write_text(text)
    with pytest.raises(RuntimeMissingError, match=r"Ubuntu.s packages, and this is .*container"):
        read_release(file)
    with pytest.raises(RuntimeMissingError, match="an unknown system"):
        read_release(tmp_path / "missing")
