"""`python tools/lint`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Makes `lint` and `native` importable, whose folders are not installed, and checks imports and C++ sources."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from lint.imports import check_imports
    from lint.tidy import check_cpp

    root = Path(__file__).resolve().parents[2]
    return check_imports(root) | check_cpp(root)


if __name__ == "__main__":
    sys.exit(main())
