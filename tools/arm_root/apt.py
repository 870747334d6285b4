"""Packages of another architecture or release by this machine's apt, with a state of its own: no privileges, no change of the system."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from arm_root.release import Release
from fdabnn_deploy.errors import RuntimeMissingError

LIBRARIES = ("libstdc++6", "libgomp1", "zlib1g")
"""Libraries that the wheels load besides the C library."""
PYTHONS = ("3.12", "3.11", "3.13", "3.14")
"""In the order of choice: those that the project is tested with come first."""


def packages(python: str) -> tuple[str, ...]:
    """The packages that the root is made of; apt adds what they depend on."""
    return (f"python{python}-minimal", f"libpython{python}-stdlib", *LIBRARIES)


class Apt:
    """apt for one architecture.

    Args:
        release: whose packages.
        state: empty folder for lists, caches and packages.
        mirror: instead of the distribution's own.
        architecture: as Debian calls it.

    Raises:
        RuntimeMissingError: there is no apt, or it does not know the distribution's keys.
    """

    def __init__(
        self, release: Release, state: Path, mirror: str | None, architecture: str = "arm64"
    ) -> None:
        self._release, self._state, self._mirror = release, state, mirror
        self._architecture = architecture
        for tool in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(tool) is None:
                raise RuntimeMissingError(
                    f"packages are unpacked by apt, and {tool} is missing: use a Debian or Ubuntu machine, or a container of one"
                )
        keyring = release.archive.keyring
        if not keyring.is_file():
            name = f"{keyring.name.split('-')[0]}-{'archive-' * (keyring.name[0] == 'd')}keyring"
            raise RuntimeMissingError(
                f"the archive's keys are missing: install them with  apt install {name}"
            )
        self._archives = state / "cache" / "archives"
        for folder in (state / "lists" / "partial", self._archives / "partial"):
            folder.mkdir(parents=True)
        (state / "status").touch()
        (state / "sources.list").write_text(release.source(mirror, architecture))
        (state / "apt.conf").write_text(_configuration(state, architecture))

    def update(self) -> None:
        """Fetches the list of packages.

        Raises:
            RuntimeMissingError: the archive cannot be reached or is not signed as it should be.
        """
        self._run("apt-get", "update")

    def choose_python(self) -> str:
        """The minor version of Python that the release offers, such as `3.11`.

        Raises:
            RuntimeMissingError: it offers none that the project runs on.
        """
        for version in PYTHONS:
            found = self._run("apt-cache", "policy", f"python{version}-minimal")
            if re.search(r"Candidate: (?!\(none\))", found):
                return version
        raise RuntimeMissingError(
            f"{self._release.name} has no Python from 3.11 on for arm64: make the root in a container of debian:12 or "
            "ubuntu:24.04 with --out, and name that folder in FDABNN_ARM_ROOT"
        )

    def unpack(self, names: tuple[str, ...], root: Path) -> dict[str, str]:
        """Downloads packages with all they depend on and unpacks them.

        Returns:
            The versions of all packages by name.

        Raises:
            RuntimeMissingError: they cannot be had.
        """
        self._run("apt-get", "install", "--download-only", "--yes", "--no-install-recommends", *names)
        versions = {}
        for archive in sorted(self._archives.glob("*.deb")):
            self._run("dpkg-deb", "--extract", str(archive), str(root))
            name, version = self._run(
                "dpkg-deb", "--showformat=${Package} ${Version}", "--show", str(archive)
            ).split()
            versions[name] = version
        _merge_usr(root)
        return versions

    def _run(self, tool: str, *arguments: str) -> str:
        options = [] if tool == "dpkg-deb" else ["-c", str(self._state / "apt.conf"), "-q"]
        command = [tool, *options, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if line.startswith(("E:", "W:", "dpkg"))]
            reason = " ".join((lines or done.stderr.splitlines() or ["no reason given"])[-1].split())
            where = self._mirror or self._release.archive.mirror
            raise RuntimeMissingError(
                f"{tool} {arguments[0]} failed for {self._release.name}, {self._architecture}, from {where}: {reason}; "
                "check the network and apt's proxy, or name another archive with --mirror"
            )
        return done.stdout


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def _configuration(state: Path, architecture: str) -> str:
    """Settings after the system's own configuration, whose proxies stay valid. Its hooks (desktops, containers) are for its own packages.

    Any error in fetching lists is one: by default apt goes on with what it has.
    """
    return f"""
#clear APT::Update;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear APT::Architectures;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Get::Assume-Yes "true";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "{state}";
Dir::State::lists "{state}/lists";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
Dir::Cache::archives "{state}/cache/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::sourcelist "{state}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "{state}";
"""


def _merge_usr(root: Path) -> None:
    """/lib and its like point into /usr, which on newer releases a package does that is not among ours."""
    for name in ("bin", "sbin", "lib"):
        if not (root / name).exists() and (root / "usr" / name).is_dir():
            (root / name).symlink_to(f"usr/{name}")
