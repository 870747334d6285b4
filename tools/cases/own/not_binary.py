"""A float network: there is nothing to deploy in 1 bit."""

from typing import Any

from small import export
from torch import nn


def run() -> Any:
    """Exports it."""
    return export(lambda: nn.Conv2d(32, 32, 3, padding=1))
