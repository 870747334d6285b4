"""A binary layer as the documentation writes it: the control of the others."""

from typing import Any

from small import BinaryConv, export


def run() -> Any:
    """Exports it."""
    return export(lambda: BinaryConv(32, 32, 3, padding=1, bias=False))
