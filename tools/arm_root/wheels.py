"""Python packages for the root, by this machine's pip."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError

CHECKOUT = Path(__file__).resolve().parents[2]
CONSTRAINTS = CHECKOUT / "constraints.txt"
TEST_REQUIREMENTS = ("hypothesis", "pytest")
_OLDEST_GLIBC = 17


def base_requirements(pyproject: Path = CHECKOUT / "pyproject.toml") -> tuple[str, ...]:
    """The requirements of the package on a device."""
    content = tomllib.loads(pyproject.read_text())
    return tuple(content["project"]["dependencies"])


def platforms(glibc: str) -> list[str]:
    """The platform tags of wheels that a C library runs, newest first (PEP 600)."""
    found = re.match(r"2\.(\d+)", glibc)
    if found is None:
        raise RuntimeMissingError(
            f"the root's C library is {glibc}, not glibc 2: its wheels cannot be chosen"
        )
    newest = int(found[1])
    tags = [f"manylinux_2_{minor}_aarch64" for minor in range(newest, _OLDEST_GLIBC - 1, -1)]
    return [*tags, "manylinux2014_aarch64"]


def install(requirements: Sequence[str], target: Path, python: str, glibc: str, scratch: Path) -> None:
    """Installs wheels into a folder, nothing else: no code of a package is run.

    Args:
        requirements: as pip takes them.
        target: the folder.
        python: minor version of the Python that will import them.
        glibc: version of the C library.
        scratch: folder for the constraints.

    Raises:
        RuntimeMissingError: pip finds no such wheels.
    """
    options = ["--no-compile", "--upgrade", f"--target={target}"]
    _pip("install", options, requirements, python, glibc, scratch)


def download(requirements: Sequence[str], folder: Path, python: str, glibc: str, scratch: Path) -> None:
    """Puts wheels and those that they need into a folder, for the root's own pip.

    Args:
        requirements: as pip takes them.
        folder: for the wheels.
        python: as for `install`, like the others.
        glibc: version of the C library.
        scratch: folder for the constraints.

    Raises:
        RuntimeMissingError: pip finds no such wheels.
    """
    _pip("download", [f"--dest={folder}"], requirements, python, glibc, scratch)


def _pip(
    verb: str, options: Sequence[str], requirements: Sequence[str], python: str, glibc: str, scratch: Path
) -> None:
    file = scratch / "constraints.txt"
    file.write_text(CONSTRAINTS.read_text())
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", verb, "--quiet"),
        *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
        *(f"--platform={tag}" for tag in platforms(glibc)),
        *(f"--constraint={file}", *options, *requirements),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        reason = (lines or done.stderr.splitlines() or ["no reason given"])[0].removeprefix("ERROR: ")
        raise RuntimeMissingError(
            f"pip found no wheels for aarch64 and Python {python}: {reason}; check the network and pip's index (PIP_INDEX_URL)"
        )
