"""A mean and std on the scale 0..255, which are for bytes."""

from typing import Any

from small import BinaryConv, export


def run() -> Any:
    """Exports it."""
    middle = BinaryConv(32, 32, 3, padding=1, bias=False)
    return export(lambda: middle, mean=[123.7, 116.3, 103.5], std=[58.4, 57.1, 57.4])
