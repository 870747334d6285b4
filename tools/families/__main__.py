"""`python tools/families`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Makes `families` importable, whose folder is not installed, and runs the command line."""
    tools = Path(__file__).resolve().parents[1]
    sys.path[0:1] = [str(tools), str(tools.parent)]
    from families.command import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
