"""`python tools/damage`."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> int:
    """Makes `damage` importable, whose folder is not installed, and runs its command line."""
    # One thread each: a process that has parted from another lacks the threads that this one had started.
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from damage.command import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
