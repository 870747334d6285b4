"""Interpreters of other versions of Python than the running one, to install the project for them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError
from pythons import debian

# All that an installation needs. On Debian, `ensurepip` is a package of its own; a Python compiled without OpenSSL has no `ssl`.
_PROGRAM = "import ensurepip, ssl, sys, venv; print('%d.%d' % sys.version_info[:2], sys.executable)"


def find_python(version: str, folder: Path) -> Path:
    """An interpreter that can make virtual environments: on the path, pyenv's, or unpacked from Debian's packages.

    Args:
        version: such as `3.14`.
        folder: for those packages; does not exist.

    Raises:
        RuntimeMissingError: it cannot be had.
    """
    for candidate in _candidates(version):
        found = _installed(candidate, version)
        if found is not None:
            return found
    unpacked = debian.unpack(version, folder)
    if _installed(unpacked, version) is None:
        raise RuntimeMissingError(f"Python {version} of Debian's packages does not run on this machine")
    return unpacked


def clean_environment() -> dict[str, str]:
    """This process's environment without the variables that would lead another interpreter to this one's modules."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYTHON") and name != "VIRTUAL_ENV"
    }


def _candidates(version: str) -> Iterator[Path]:
    """Files that may be the interpreter; pyenv's own `python3.14` on the path fails for versions that are not switched on."""
    for folder in os.get_exec_path():
        yield Path(folder) / f"python{version}"
    if shutil.which("pyenv") is not None:
        done = subprocess.run(["pyenv", "root"], capture_output=True, text=True, check=False)
        folders = (Path(done.stdout.strip()) / "versions").glob(f"{version}*")
        for home in sorted(folders, key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])[::-1]:
            yield home / "bin" / f"python{version}"


def _installed(file: Path, version: str) -> Path | None:
    if not os.access(file, os.X_OK):
        return None
    command = [str(file), "-c", _PROGRAM]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    found, _, path = done.stdout.strip().partition(" ")
    return Path(path) if done.returncode == 0 and found == version else None
