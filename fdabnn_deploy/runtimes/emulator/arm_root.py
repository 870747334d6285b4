"""An arm64 root and the emulator `qemu-aarch64`: where they are, and how Python is started there.

The root is a folder with an arm64 Linux's Python, LiteRT and ONNX Runtime. The emulator (qemu-user) runs a program of it with the
folder's files in front of the machine's own (`-L`), in a process like any other: the same folders, users and rights.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.system import programs

VARIABLE = "FDABNN_ARM_ROOT"
"""The environment variable that names the root."""
RECORD = "fdabnn-arm-root.json"
"""The file in a root that says what it holds: `python` is the path of its Python."""
CURRENT = "current"
"""In the cache, a link to the root that was made last."""
CPU = "cortex-a72"
"""The processor that the emulator shows to programs, unless QEMU_CPU names another: the one of the root's /proc/cpuinfo."""
_HOW_TO_MAKE = "make one with  python tools/arm_root  in a checkout of fdabnn-deploy"
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "TMPDIR", "TZ", "USER", "CI", "FDABNN_KERNELS", "QEMU_CPU")


@dataclass(frozen=True)
class Guest:
    """A root with the emulator that runs it.

    Attributes:
        root: the folder.
        python: its Python.
        qemu: the emulator.
    """

    root: Path
    python: Path
    qemu: str

    @property
    def qemu_version(self) -> str:
        """Of the emulator, such as `7.2.22`.

        Raises:
            RuntimeMissingError: it does not work.
        """
        return programs.version(self.qemu, programs.QEMU)

    def command(self, *arguments: str) -> list[str]:
        """The command that runs the root's Python with these arguments."""
        return [self.qemu, "-L", str(self.root), str(self.python), *arguments]

    def environment(self, *python_path: Path, **further: str) -> dict[str, str]:
        """The environment for it: without what is meant for this machine's Python and libraries.

        Args:
            *python_path: folders to import from.
            **further: more variables.
        """
        passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return {
            "QEMU_CPU": CPU,
            **passed_on,
            "PYTHONPATH": os.pathsep.join(map(str, python_path)),
            "PYTHONNOUSERSITE": "1",
            "PYTHONUTF8": "1",
            **further,
        }

    def package_version(self, name: str) -> str:
        """The version of a Python package in the root, or `?`."""
        pattern = f"{name.replace('-', '_')}-*.dist-info"
        found = next((self.root / "usr" / "local" / "lib").glob(f"python3*/dist-packages/{pattern}"), None)
        return "?" if found is None else found.name.removesuffix(".dist-info").rpartition("-")[2]


def cache_folder() -> Path:
    """The folder of roots: `$XDG_CACHE_HOME/fdabnn-arm-root`, by default in `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fdabnn-arm-root"


def find_qemu() -> str:
    """The emulator.

    Raises:
        RuntimeMissingError: it is not installed, too old, or does not work.
    """
    return programs.find(programs.QEMU).path


def open_root(folder: Path) -> Guest:
    """The root in a folder.

    Raises:
        RuntimeMissingError: there is none, or no emulator.
    """
    qemu = find_qemu()
    try:
        python = folder / json.loads((folder / RECORD).read_text())["python"]
    except OSError:
        raise RuntimeMissingError(f"{folder} is not an arm64 root: {_HOW_TO_MAKE}") from None
    except (ValueError, KeyError, TypeError):
        raise RuntimeMissingError(f"{folder / RECORD} is damaged: {_HOW_TO_MAKE}") from None
    return Guest(folder, python, qemu)


def find() -> Guest:
    """The root that FDABNN_ARM_ROOT names, by default the one that was made last.

    Raises:
        RuntimeMissingError: there is none, or no emulator.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return open_root(Path(named).absolute())
    folder = cache_folder() / CURRENT
    if not folder.exists():
        find_qemu()
        raise RuntimeMissingError(
            f"there is no arm64 root in {folder.parent}, and {VARIABLE} names none: {_HOW_TO_MAKE}"
        )
    return open_root(folder.resolve())
