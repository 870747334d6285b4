"""Builds what a release consists of: the source archive and all wheels of `WHEELS` in build.py.

    python tools/native/wheels.py [--out dist] [x86_64 | aarch64 | macos]...

The same sources and tools give the same bytes, wherever and whenever, from a checkout or from the source archive.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class WheelError(Exception):
    """A build that failed, with what it printed."""


def build_source(out: Path) -> Path:
    """The source archive, in a folder.

    Raises:
        WheelError: the build failed.
    """
    return _build(["--sdist"], out, "")


def build_wheel(name: str, out: Path) -> Path:
    """A wheel, in a folder.

    Raises:
        WheelError: the build failed.
    """
    return _build(["--wheel"], out, name)


def _build(options: list[str], out: Path, name: str) -> Path:
    # Without isolation: the build backend and the compiler are those that the environment has, pinned in constraints.txt.
    command = [sys.executable, "-m", "build", *options, "--no-isolation", "--outdir", str(out), str(ROOT)]
    environment = {**os.environ, "FDABNN_WHEEL": name, "NO_COLOR": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WheelError(
            f"building {name or 'the source archive'} failed:\n{done.stdout}{done.stderr}".strip()
        )
    return out / done.stdout.split()[-1]


def main() -> int:
    """The command line."""
    from native.build import WHEELS  # late: see the end

    parser = argparse.ArgumentParser(description="Builds the source archive and the wheels.")
    parser.add_argument("wheel", nargs="*", help=f"of {', '.join(WHEELS)} (default: all)")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "dist", help="folder to write to (default: %(default)s)"
    )
    arguments = parser.parse_args()
    out = arguments.out.absolute()
    try:
        for name in ["", *(arguments.wheel or WHEELS)]:
            file = build_wheel(name, out) if name else build_source(out)
            content = file.read_bytes()
            print(f"{hashlib.sha256(content).hexdigest()}  {len(content):>9,}  {file.name}", flush=True)
    except WheelError as error:
        print(f"wheels: {error}", file=sys.stderr)
        return 6
    return 0


if __name__ == "__main__":
    # As for the tests. This folder itself would hide the PyPI package `build`.
    sys.path[0] = str(ROOT / "tools")
    sys.exit(main())
