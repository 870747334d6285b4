"""The root: packages, wheels and a description of a processor in one folder, which appears whole or not at all."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from arm_root import apt, wheels
from arm_root.release import Release, read_release
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.runtimes.emulator import arm_root
from fdabnn_deploy.runtimes.emulator.arm_root import Guest

FORMAT = 2
TESTS = "opt/tests"
"""Folder in the root with what the tests need besides, for PYTHONPATH."""
_IMPORTS = "import click, hypothesis, numpy, onnxruntime, pytest, rich; from ai_edge_litert.interpreter import Interpreter"

CORTEX_A72 = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3

"""
"""A processor as Linux on arm64 shows it in /proc/cpuinfo, without which LiteRT and ONNX Runtime crash. The one of a Raspberry Pi 4."""

MODEL = "Model\t\t: emulated by qemu-user\n"
"""Where a board's name would stand: whoever shows times with it shows that they are none of a device."""


def key(release: Release) -> str:
    """A hash of all that a root is made of, 16 hexadecimal digits."""
    parts = [
        str(FORMAT),
        release.name,
        release.codename,
        *apt.PYTHONS,
        *apt.LIBRARIES,
        *wheels.base_requirements(),
        *wheels.TEST_REQUIREMENTS,
        wheels.CONSTRAINTS.read_text(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def make_root(
    out: Path | None = None,
    *,
    mirror: str | None = None,
    fresh: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Guest:
    """Makes the root, or finds the one that was made of the same.

    Args:
        out: its folder; in the cache by default.
        mirror: of packages, instead of the distribution's own.
        fresh: make it again in any case.
        tell: told what is being done.

    Raises:
        UsageError: the folder is something else.
        RuntimeMissingError: qemu is missing, or packages cannot be had.
    """
    arm_root.find_qemu()
    release = read_release()
    name = key(release)
    parent = arm_root.cache_folder() if out is None else out.absolute().parent
    folder = parent / name if out is None else out.absolute()
    with one_process_at_a_time():
        if fresh or not _is_made_of(folder, name):
            _check_replaceable(folder)
            _assemble(folder, release, name, mirror, tell)
        if out is None:
            _point(parent / arm_root.CURRENT, name)
    return arm_root.open_root(folder)


def _assemble(
    folder: Path, release: Release, name: str, mirror: str | None, tell: Callable[[str], None]
) -> None:
    prefix = f".fdabnn-arm-root-{folder.name}-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for left in folder.parent.glob(f"{prefix}*"):
            shutil.rmtree(left)  # by one that was killed: nobody else is at work here
    except OSError as error:
        raise UsageError(f"cannot write to {folder.parent}: {error.strerror}") from None
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder.parent) as scratch:
        state, root = Path(scratch) / "apt", Path(scratch) / "root"
        state.mkdir()
        root.mkdir()
        packages = apt.Apt(release, state, mirror)
        tell(f"list of {release.name}'s arm64 packages")
        packages.update()
        python = packages.choose_python()
        tell(f"Python {python}")
        versions = packages.unpack(apt.packages(python), root)
        tell("LiteRT, ONNX Runtime and pytest for aarch64")
        site = root / "usr" / "local" / "lib" / f"python{python}" / "dist-packages"
        glibc = versions["libc6"]
        wheels.install(wheels.base_requirements(), site, python, glibc, state)
        wheels.install(wheels.TEST_REQUIREMENTS, root / TESTS, python, glibc, state)
        describe_processor(root)
        record = {
            "key": name,
            "release": release.name,
            "python": f"usr/bin/python{python}",
            "packages": versions,
        }
        (root / arm_root.RECORD).write_text(json.dumps(record, indent=1) + "\n")
        tell("first start, which compiles the Python files")
        _try(arm_root.open_root(root))
        if folder.exists():
            folder.rename(Path(scratch) / "old")
        root.rename(folder)


def describe_processor(root: Path) -> None:
    """Writes the root's /proc/cpuinfo."""
    (root / "proc").mkdir(exist_ok=True)
    text = "".join(CORTEX_A72.format(number=number) for number in range(os.cpu_count() or 1)) + MODEL
    (root / "proc" / "cpuinfo").write_text(text)


def _try(guest: Guest) -> None:
    done = subprocess.run(
        guest.command("-c", _IMPORTS),
        env=guest.environment(guest.root / TESTS),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RuntimeMissingError(
            f"the packages are there, but Python does not run with them under {guest.qemu}: {reason}"
        )


def _is_made_of(folder: Path, name: str) -> bool:
    try:
        return bool(json.loads((folder / arm_root.RECORD).read_text())["key"] == name)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _check_replaceable(folder: Path) -> None:
    if (
        folder.exists()
        and not (folder / arm_root.RECORD).is_file()
        and (not folder.is_dir() or any(folder.iterdir()))
    ):
        raise UsageError(f"{folder} holds something else than an arm64 root: name a new folder with --out")


def _point(link: Path, name: str) -> None:
    if not link.is_symlink() or str(link.readlink()) != name:
        aside = link.with_name(f".{os.getpid()}.{link.name}")
        aside.symlink_to(name)
        aside.replace(link)


@contextmanager
def one_process_at_a_time() -> Iterator[None]:
    """Lets one process at a time make roots."""
    folder = arm_root.cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
