"""`python tools/lint`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Makes `lint` importable, whose folder is not installed, and checks the imports."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from lint.imports import check_imports

    return check_imports(Path(__file__).resolve().parents[2])


if __name__ == "__main__":
    sys.exit(main())
