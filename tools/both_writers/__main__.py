"""`python tools/both_writers`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Makes `both_writers` and the modules of the tests importable, whose folders are not installed, and runs the command line."""
    tools = Path(__file__).resolve().parents[1]
    sys.path[0:1] = [str(tools), str(tools.parent)]
    from both_writers.command import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
