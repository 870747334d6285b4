"""`python tools/cases`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Makes `cases` importable, whose folder is not installed, and runs its command line."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from cases.command import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
