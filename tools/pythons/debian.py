"""Python from Debian's packages beside the system: nothing is installed, and its C library may be newer than the system's."""

from __future__ import annotations

import platform
import shlex
from pathlib import Path

from arm_root.apt import LIBRARIES, Apt, packages
from arm_root.release import ARCHIVES, Release
from fdabnn_deploy.errors import RuntimeMissingError

RELEASES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "forky"}
"""Debian's releases by the Python they have. None had 3.12."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_WHEELS = "/usr/share/python-wheels/"
"""Where Debian's `ensurepip` looks for pip."""


def unpack(version: str, folder: Path) -> Path:
    """Unpacks Python, its `venv` and the libraries that wheels load.

    Args:
        version: such as `3.14`.
        folder: does not exist.

    Returns:
        The interpreter, which runs where it is.

    Raises:
        RuntimeMissingError: Debian has no such Python, or its packages cannot be had.
    """
    codename, architecture = RELEASES.get(version), _ARCHITECTURES.get(platform.machine())
    if codename is None or architecture is None:
        raise RuntimeMissingError(
            f"Python {version} is not on this machine, and Debian has none for {platform.machine()}"
        )
    state, root = folder / "apt", folder / "root"
    state.mkdir(parents=True)
    root.mkdir()
    apt = Apt(Release(f"Debian's {codename}", codename, ARCHIVES["debian"]), state, None, architecture)
    apt.update()
    apt.unpack((*packages(version), f"python{version}-venv", *LIBRARIES), root)
    _find_pip_in(root, version)
    return _start_with_its_libraries(root / "usr" / "bin" / f"python{version}", root)


def _find_pip_in(root: Path, version: str) -> None:
    """Points `ensurepip` to the pip that was unpacked."""
    for file in (root / "usr" / "lib" / f"python{version}").glob("_sysconfigdata_*.py"):
        file.write_text(file.read_text().replace(f"'{_WHEELS}'", repr(f"{root}{_WHEELS}")))


def _start_with_its_libraries(python: Path, root: Path) -> Path:
    """Puts a script in the interpreter's place that starts it with the C library and the loader it was linked with.

    The folder of libraries is an argument, not a variable: programs that Python starts are the system's and must not get it.
    """
    # Where /lib is not a part of /usr yet, there are two.
    folders = [folder for place in ("lib", "usr/lib") for folder in (root / place).glob("*-linux-gnu")]
    loader = next(file for folder in folders for file in folder.glob("ld-linux-*.so.*"))
    program = python.rename(python.with_name(f"{python.name}-program"))
    command = shlex.join([str(loader), "--library-path", ":".join(map(str, folders)), "--argv0"])
    python.write_text(f'#!/bin/sh\nexec {command} "$0" {shlex.quote(str(program))} "$@"\n')
    python.chmod(0o755)
    return python
