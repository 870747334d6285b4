"""Looking up an architecture by its name among the installed entry points."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from torch import nn

from fdabnn_deploy.errors import UsageError

GROUP = "fdabnn_deploy.architectures"


def architecture_names() -> list[str]:
    """Names of all installed architectures."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def find_architecture(name: str) -> Callable[..., nn.Module]:
    """Factory of the architecture ``name``; it takes keyword arguments only.

    Raises:
        UsageError: no installed package has an architecture of this name.
    """
    for entry in entry_points(group=GROUP, name=name):
        factory: Callable[..., nn.Module] = entry.load()
        return factory
    known = ", ".join(architecture_names()) or "none is installed"
    raise UsageError(f"there is no architecture {name!r}; known: {known}")
