"""`python tools/without KIND COMMAND...`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Makes `without` importable, whose folder is not installed, and runs its command line."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from without.programs import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
