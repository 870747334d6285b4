"""Builds and runs the C++ tests of the kernels, `fdabnn_deploy/native/kernel_tests/`.

    apt install doctest-dev
    python tools/native/kernel_tests.py                       all of them
    python tools/native/kernel_tests.py --list-test-cases     options are doctest's

The compiler and its flags are those of the library. Objects are kept in `build/kernel_tests/`.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

STATIC = {"aarch64": "aarch64-linux-musl"}
"""Targets whose programs need no file of their system, by machine: an emulator runs them as they are."""


def build_kernel_tests(target: str | None = None) -> Path:
    """Compiles what has changed of the kernels and their tests.

    Args:
        target: As `native.build.build` takes it; this machine's by default.

    Returns:
        The program.

    Raises:
        BuildError: the header of the framework is missing, no compiler for this machine, or an error in the sources.
    """
    from native import build  # late: see the end

    header = build.framework_header()
    if header is None:
        raise build.BuildError(
            f"{build.RULES['tests']['header']} is missing: install it with  apt install doctest-dev"
        )
    machine = build.supported_machine()
    if target is None and machine is None:
        raise build.BuildError("the kernels are for x86-64 and aarch64 Linux with glibc")
    target = target or build.TARGETS[str(machine)]
    folder = build.CACHE.with_name("kernel_tests")
    # The compiler has headers of its own for the target; of the system's it is to see this one alone.
    headers = folder / "include"
    headers.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        (headers / header.parent.name).symlink_to(header.parent)
    return build.build_kernel_tests(target, folder / target.split("-")[0], headers)


def main() -> int:
    """The command line: builds, then runs with the given options."""
    from native.build import BuildError  # late: see the end

    try:
        program = build_kernel_tests()
    except BuildError as error:
        print(f"kernel_tests: {error}", file=sys.stderr)
        return 6
    return subprocess.run([program, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    # As for the tests. This folder itself would hide the PyPI package `build`.
    sys.path[0] = str(ROOT / "tools")
    sys.exit(main())
