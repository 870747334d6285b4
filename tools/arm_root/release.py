"""The Linux release whose arm64 packages are taken: the one that this machine runs."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError

OS_RELEASE = Path("/etc/os-release")


@dataclass(frozen=True)
class Archive:
    """Where a distribution keeps its arm64 packages.

    Attributes:
        mirror: its address.
        components: the parts of it that may hold a Python.
        keyring: the keys it is signed with; part of every installation of the distribution.
    """

    mirror: str
    components: str
    keyring: Path


_KEYRINGS = Path("/usr/share/keyrings")
# Ubuntu keeps arm64 apart. Its Python 3.11 for 22.04 is in universe.
ARCHIVES = {
    "debian": Archive("http://deb.debian.org/debian", "main", _KEYRINGS / "debian-archive-keyring.gpg"),
    "ubuntu": Archive(
        "http://ports.ubuntu.com/ubuntu-ports", "main universe", _KEYRINGS / "ubuntu-archive-keyring.gpg"
    ),
}


@dataclass(frozen=True)
class Release:
    """A release and its archive.

    Attributes:
        name: in words, such as `Debian 12`.
        codename: as its archive calls it, such as `bookworm`.
        archive: with its packages.
    """

    name: str
    codename: str
    archive: Archive

    def source(self, mirror: str | None = None, architecture: str = "arm64") -> str:
        """The line for apt's list of sources."""
        archive = self.archive
        where = f"{mirror or archive.mirror} {self.codename} {archive.components}"
        return f"deb [arch={architecture} signed-by={archive.keyring}] {where}\n"


def read_release(path: Path = OS_RELEASE) -> Release:
    """The release of this machine, from `os-release` (man page os-release(5)).

    Raises:
        RuntimeMissingError: it is neither Debian nor Ubuntu, nor derived from them, or not a released version.
    """
    fields = _fields(path)
    for name in [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]:
        # Derivatives of Ubuntu have codenames of their own beside it; those of Debian are asked for theirs.
        codename = (
            fields.get("UBUNTU_CODENAME") if name == "ubuntu" else fields.get("DEBIAN_CODENAME")
        ) or fields.get("VERSION_CODENAME")
        if name in ARCHIVES and codename:
            words = (
                f"{fields.get('NAME', name).removesuffix(' GNU/Linux')} {fields.get('VERSION_ID', codename)}"
            )
            return Release(words, codename, ARCHIVES[name])
    raise RuntimeMissingError(
        f"the arm64 root is made of Debian's or Ubuntu's packages, and this is {fields.get('PRETTY_NAME', 'an unknown system')}: "
        "make it in a container of debian:12 or ubuntu:24.04 with --out, and name that folder in FDABNN_ARM_ROOT"
    )


def _fields(path: Path) -> dict[str, str]:
    try:
        text = path.read_text()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key: "".join(shlex.split(value)[:1]) for key, _, value in pairs}
