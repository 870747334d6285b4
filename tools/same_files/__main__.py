"""`python tools/same_files OLD NEW`: compares two folders that `tools/same_files/networks.py` filled, by two versions of the exporter."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Prints the table; 4 if a file is missing or computes by other operators or constants."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from same_files.compare import table

    if len(sys.argv) != 3:
        print("usage: python tools/same_files OLD NEW", file=sys.stderr)
        return 2
    rows = table(Path(sys.argv[1]), Path(sys.argv[2]))
    for name, verdict in rows.items():
        print(f"{name:40} {verdict}")
    return 4 if not rows or {"different", "missing"} & set(rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
