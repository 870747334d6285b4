"""A device as it is before anything of ours is on it: an arm64 system with a shell, Python, venv and pip, under proot and qemu.

The root of `make.py` holds what tests import, and its programs cannot start others. Here they can: proot passes every program to the
emulator and shows it the root as `/`, without privileges. So whatever a user types on a device can be run, pip included.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from arm_root import apt, make
from arm_root.release import Release, read_release
from fdabnn_deploy.runtimes.emulator import arm_root
from fdabnn_deploy.system.programs import Program, find

FORMAT = 2
PACKAGES = ("bash", "ca-certificates", "coreutils", "dash")
PROOT = Program(
    ("proot",), "proot", (5, 1), pattern=r"(\d+\.\d+(?:\.\d+)*)", need="older ones were not tried"
)
HOME = "/home/pi"
_FROM_THE_MACHINE = ("/dev", "/proc", "/sys", "/etc/resolv.conf")


@dataclass(frozen=True)
class Device:
    """A root with what runs it.

    Attributes:
        root: its folder.
        python: minor version of its Python.
        glibc: version of its C library.
        qemu: the emulator.
        proot: starts programs with the root as `/`.
    """

    root: Path
    python: str
    glibc: str
    qemu: str
    proot: str

    def run(
        self, script: str, home: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Runs lines of a shell, which end at the first that fails.

        Args:
            script: the lines, for bash.
            home: the folder that is `HOME` there, in which they run.
            variables: of the environment, besides the usual ones.
        """
        binds = [path for path in _FROM_THE_MACHINE if Path(path).exists()]
        command = [
            *(self.proot, "-q", self.qemu, "-r", str(self.root)),
            *(part for path in binds for part in ("-b", path)),
            *("-b", f"{self.root}/proc/cpuinfo:/proc/cpuinfo", "-b", f"{home}:{HOME}", "-w", HOME),
            *("/bin/bash", "-e", "-u", "-o", "pipefail", "-c", script),
        ]
        environment = {
            "HOME": HOME,
            "LANG": "C.UTF-8",
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            # Without it, proot's filter of system calls stops some that qemu makes.
            "PROOT_NO_SECCOMP": "1",
            "QEMU_CPU": arm_root.CPU,
            **(variables or {}),
        }
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def find_proot() -> str:
    """The program proot.

    Raises:
        RuntimeMissingError: it is not installed, too old, or does not work.
    """
    return find(PROOT).path


def key(release: Release) -> str:
    """A hash of all that a device is made of, 16 hexadecimal digits."""
    parts = [str(FORMAT), release.name, release.codename, *apt.PYTHONS, *apt.LIBRARIES, *PACKAGES]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def make_device(mirror: str | None = None) -> Device:
    """Makes the device's system in the cache, or finds the one that was made of the same packages.

    Args:
        mirror: of packages, instead of the distribution's own.

    Raises:
        RuntimeMissingError: qemu or proot is missing, or packages cannot be had.
    """
    qemu, proot, release = arm_root.find_qemu(), find_proot(), read_release()
    folder = arm_root.cache_folder() / f"device-{key(release)}"
    with make.one_process_at_a_time():
        if not (folder / arm_root.RECORD).is_file():
            _assemble(folder, release, mirror)
    record = json.loads((folder / arm_root.RECORD).read_text())
    return Device(folder, record["python"], record["packages"]["libc6"], qemu, proot)


def _assemble(folder: Path, release: Release, mirror: str | None) -> None:
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        state, root = Path(scratch) / "apt", Path(scratch) / "root"
        state.mkdir()
        root.mkdir()
        packages = apt.Apt(release, state, mirror)
        packages.update()
        python = packages.choose_python()
        versions = packages.unpack((*apt.packages(python), f"python{python}-venv", *PACKAGES), root)
        # What the packages' scripts would have done.
        for link, target in (("bin/sh", "dash"), ("usr/bin/python3", f"python{python}")):
            if not (root / link).is_symlink():
                (root / link).symlink_to(target)
        for path in (HOME, "/tmp", "/dev", "/proc", "/sys"):  # noqa: S108 - the root's own
            (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        make.describe_processor(root)
        record = {"release": release.name, "python": python, "packages": versions}
        (root / arm_root.RECORD).write_text(json.dumps(record, indent=1) + "\n")
        root.replace(folder)
