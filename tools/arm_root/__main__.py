"""`python tools/arm_root`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Makes `arm_root` importable, whose folder is not installed, and runs its command line."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from arm_root.command import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
