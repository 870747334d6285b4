"""A choice that there is, but for its capital letter."""

from typing import Any

from small import BinaryConv, export


def run() -> Any:
    """Exports it."""
    return export(lambda: BinaryConv(32, 32, 3, padding=1, bias=False), numerics="Exact")
