"""Optional programs for tests: a test that needs one skips where there is none that works, and says what is wrong with it.

CI has to have them all, so there it fails instead. `tools/without` runs tests as on machines that lack them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.system.programs import Program, find

CHROMIUM = Program(
    ("chromium", "chromium-browser", "google-chrome", "chrome"),
    "chromium",
    (112,),
    pattern=r"(\d+(?:\.\d+)+)",
    need="older ones have no --headless=new",
)
READELF = Program(
    ("readelf",),
    "binutils",
    (2, 27),
    pattern=r"readelf .*?(\d+\.\d+(?:\.\d+)*)",
    need="older ones know no PIE",
)
# Until 9.2 it did not know -V, and told its version with the usage.
SSHD = Program(
    ("sshd",),
    "openssh-server",
    (7, 8),
    ("-V",),
    r"OpenSSH_(\d+(?:\.\d+)*)",
    "older ones have no SetEnv",
    # Not on an ordinary user's path. `tools/without` hides it there, too.
    folders=() if "FDABNN_WITHOUT" in os.environ else ("/usr/sbin", "/usr/local/sbin"),
    succeeds=False,
)


def skip(reason: str) -> NoReturn:
    """Skips the test with its reason; in CI, which must not skip what it is there for, it fails."""
    if os.environ.get("CI"):
        pytest.fail(f"CI has to have this: {reason}")
    pytest.skip(reason)


def wanted(program: Program) -> str:
    """The path of a program; skips where there is none that works."""
    try:
        return find(program).path
    except RuntimeMissingError as error:
        skip(str(error))


def wanted_compiler(name: str, flags: Sequence[str] = ()) -> str:
    """The path of one of the system's compilers; skips where it makes no program that runs with these flags.

    Args:
        name: `cc` for C, `g++` for C++.
        flags: that the test compiles with, such as a sanitizer's.
    """
    path = shutil.which(name)
    install = "install it with  apt install g++"
    if path is None:
        skip(f"{name} is missing: {install}")
    trouble = _trouble(path, ".cc" if "+" in name else ".c", tuple(flags))
    if trouble:
        with_flags = f" with {' '.join(flags)}" if flags else ""
        skip(f"{path} is too old or broken: it makes no program that runs{with_flags}: {trouble}: {install}")
    return path


@cache
def _trouble(path: str, suffix: str, flags: tuple[str, ...]) -> str:
    """The error of compiling and running the smallest program; empty where there is none."""
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder) / f"smallest{suffix}", Path(folder) / "smallest"
        source.write_text("int main(void) { return 0; }\n")
        for command in ([path, *flags, str(source), "-o", str(program)], [str(program)]):
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            except (OSError, subprocess.TimeoutExpired) as error:
                return str(error)
            if done.returncode != 0:
                said = (done.stderr or done.stdout).strip().splitlines()
                return said[-1] if said else f"status {done.returncode}"
    return ""
