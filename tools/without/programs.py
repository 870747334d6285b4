"""A command run as on a machine on which the optional programs are absent, too old or broken.

Nothing of the machine changes: a folder of links and stand-ins takes the place of folders of the command's path.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

KINDS = ("absent", "old", "broken")
OLD = {
    "adb": "Android Debug Bridge version 1.0.31",
    "cc": "cc (GCC) 2.95.3",
    "chromium": "Chromium 90.0.4430.212",
    "g++": "g++ (GCC) 2.95.3",
    "llvm-mca": "LLVM version 14.0.6",
    "llvm-objdump": "LLVM version 14.0.6",
    "proot": "proot 4.0.3",
    "qemu-aarch64": "qemu-aarch64 version 2.5.0",
    "qemu-arm": "qemu-arm version 2.5.0",
    "readelf": "GNU readelf (GNU Binutils) 2.20.51",
    "ssh": "OpenSSH_6.6.1p1",
    "ssh-keygen": "",
    "sshd": "OpenSSH_6.6.1p1",
}
"""The optional programs, and what an old one says of its version."""
HIDDEN = re.compile(
    r"((aarch64|x86_64)-linux-gnu-)?(c\+\+|g\+\+|gcc|cc|clang(\+\+)?)(-\d+)?|adb|chromium(-browser)?|(google-)?chrome(-stable)?"
    r"|llvm-(mca|objdump)(-\d+)?|proot|readelf|qemu-(aarch64|arm)(-static)?|ssh|ssh-keygen|sshd"
)
"""All names under which they are."""
USAGE = f"usage: python tools/without {{{','.join(KINDS)}}} COMMAND..."


def run(arguments: Sequence[str]) -> int:
    """Runs the command and gives back its exit status."""
    if len(arguments) < 2 or arguments[0] not in KINDS:
        print(USAGE, file=sys.stderr)
        return 2
    kind, *command = arguments
    with tempfile.TemporaryDirectory(prefix="fdabnn-without-") as folder:
        path = search_path(kind, Path(folder), os.environ["PATH"])
        return subprocess.run(command, check=False, env=environment(path, kind, os.environ)).returncode


def environment(path: str, kind: str, own: Mapping[str, str]) -> dict[str, str]:
    """The command's environment: its path, and the word for the few places that look beside it."""
    return {**own, "PATH": path, "FDABNN_WITHOUT": kind}


def search_path(kind: str, folder: Path, path: str) -> str:
    """A path on which the programs are as the kind says; what it needs is made in the folder."""
    folders = [Path(part) for part in path.split(os.pathsep) if part]
    if kind == "absent":
        return os.pathsep.join(
            str(_without(part, folder / str(number))) for number, part in enumerate(folders)
        )
    for name, version in OLD.items():
        fails = f"echo '{name}: this is a stand-in that fails' >&2\nexit 1"
        # Whatever it is asked for its version with.
        answers = f'case "$1" in -V|version|--version) echo "{version}"; exit 0;; esac\n'
        script = folder / name
        script.write_text(f"#!/bin/sh\n{answers if kind == 'old' else ''}{fails}\n")
        script.chmod(0o755)
    # Behind the stand-ins, none that works under another name.
    return f"{folder}{os.pathsep}{search_path('absent', folder / 'others', path)}"


def _without(original: Path, links: Path) -> Path:
    """A folder itself where it holds none of the programs, else one of links to the others."""
    try:
        names = [path.name for path in original.iterdir()]
    except OSError:
        return original
    if not any(HIDDEN.fullmatch(name) for name in names):
        return original
    links.mkdir(parents=True)
    for name in names:
        if not HIDDEN.fullmatch(name):
            (links / name).symlink_to(original.absolute() / name)
    return links
