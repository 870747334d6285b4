"""`python tools/instruction_counts`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Makes `instruction_counts` and `arm_root` importable, whose folders are not installed, and runs the command line."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from instruction_counts.command import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
