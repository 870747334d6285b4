"""Programs that the system brings for some features: found, tried, and of a version that can do what is asked of them.

A program that is absent, too old or broken is told apart before anything is asked of it, so that a feature, and a test, says which of the
three it is and how to get the right one. Each is tried by its version: it starts, ends with success and says one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fdabnn_deploy.errors import RuntimeMissingError

SECONDS = 20.0
"""That a program may take to say its version."""


@dataclass(frozen=True)
class Program:
    """A program, and what is wanted of it.

    Attributes:
        names: under which it is searched; the first that works is taken.
        package: of Debian and Ubuntu.
        oldest: the oldest version that will do.
        ask: arguments with which it says its version.
        pattern: of what it says then, on stdout or stderr; its first group is the version.
        need: why an older one will not do.
        folders: where it may also be, besides those of the path.
        succeeds: whether it ends with success when it says its version.
    """

    names: tuple[str, ...]
    package: str
    oldest: tuple[int, ...] = ()
    ask: tuple[str, ...] = ("--version",)
    pattern: str = r"version (\d+(?:\.\d+)*)"
    need: str = ""
    folders: tuple[str, ...] = ()
    succeeds: bool = True

    @property
    def install(self) -> str:
        """How to get it."""
        return f"install it with  apt install {self.package}"


@dataclass(frozen=True)
class Found:
    """A program that works.

    Attributes:
        path: of it.
        version: as it says.
    """

    path: str
    version: str


SSH = Program(
    ("ssh",),
    "openssh-client",
    (7, 4),
    ("-V",),
    r"OpenSSH_(\d+(?:\.\d+)*)",
    "older ones lack options that are used",
)
ADB = Program(
    ("adb",),
    "adb",
    (1, 0, 36),
    ("version",),
    r"Debug Bridge version (\d+(?:\.\d+)*)",
    "older ones do not tell how a program ended",
)
QEMU = Program(
    ("qemu-aarch64", "qemu-aarch64-static"),
    "qemu-user",
    (6, 2),
    need="programs were not run under older ones",
)


def find(program: Program) -> Found:
    """The first of a program's names that is there, works and is not too old.

    Raises:
        RuntimeMissingError: there is none; the message says what is wrong with the first one that is there, and how to get one.
    """
    errors = []
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *program.folders])
    for path in filter(None, (shutil.which(name, path=folders) for name in program.names)):
        try:
            return Found(path, version(path, program))
        except RuntimeMissingError as error:
            errors.append(error)
    raise errors[0] if errors else RuntimeMissingError(f"{program.names[0]} is missing: {program.install}")


def said_by(
    command: Sequence[str], seconds: float, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program that is asked nothing, whatever its exit code, and keeps what it says.

    Raises:
        OSError: it cannot be started.
        TimeoutExpired: it did not end within so many seconds.
    """
    return subprocess.run(  # noqa: S603 - found on the user's own path
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def end_or_kill(process: subprocess.Popen[Any], seconds: float) -> None:
    """Waits so long for a process that was told to end, then kills it."""
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def version(path: str, program: Program) -> str:
    """The version that a program says; it is asked once as long as its file does not change.

    Raises:
        RuntimeMissingError: it does not work, or is too old.
    """
    status = Path(path).stat()
    state = (status.st_mtime_ns, status.st_size, status.st_ino)
    said, trouble = _asked(path, program, state)
    if trouble:
        raise RuntimeMissingError(f"{path} does not work: {trouble}: {program.install}")
    if _numbers(said) < program.oldest:
        wanted = ".".join(map(str, program.oldest))
        need = f" ({program.need})" if program.need else ""
        raise RuntimeMissingError(
            f"{path} is too old: it is version {said}, and {wanted} or newer is wanted{need}: {program.install}"
        )
    return said


@lru_cache(maxsize=64)
def _asked(path: str, program: Program, state: tuple[int, ...]) -> tuple[str, str]:
    """The version, or what is wrong."""
    del state
    call = f"`{' '.join([Path(path).name, *program.ask])}`"
    try:
        done = said_by([path, *program.ask], SECONDS)
    except subprocess.TimeoutExpired:
        return "", f"it does not say its version within {SECONDS:.0f} s"
    except OSError as error:
        return "", error.strerror or str(error)
    found = re.search(program.pattern, f"{done.stdout}\n{done.stderr}")
    if done.returncode != 0 and (program.succeeds or found is None):
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        ended = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        return "", f"{call} ended with {ended}{f' ({said[-1]})' if said else ''}"
    if found is None:
        return "", f"{call} says no version that is known here"
    return found[1], ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
