"""`python tools/arm_layers`."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Makes the tool and the package importable from the checkout, and prints its table."""
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    from arm_layers.layers import main as print_table

    return print_table()


if __name__ == "__main__":
    sys.exit(main())
