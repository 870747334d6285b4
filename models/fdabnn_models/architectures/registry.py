"""Making a network: an architecture by its name among the installed entry points, or a user's own factory."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from torch import nn

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.frontend.checkpoint.make_module import call_factory, factory_parameters, find_factory

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


def build_network(arch: str, *, num_classes: int, scale: str) -> tuple[nn.Module, dict[str, Any]]:
    """Make an architecture by its name, or a user's own ``package.module:factory``, which is imported.

    An own factory gets ``num_classes`` and ``scale`` where it takes arguments of these names.

    Returns:
        the network, and the arguments that it was made with.

    Raises:
        UsageError: there is no such architecture or factory, or its call fails.
    """
    arguments: dict[str, Any] = {"num_classes": num_classes, "scale": scale}
    if ":" not in arch:
        return find_architecture(arch)(**arguments), arguments
    factory = find_factory(arch)
    taken = factory_parameters(factory)
    arguments = {name: value for name, value in arguments.items() if name in taken}
    return call_factory(factory, f"--model {arch}", arguments), arguments


def network_shape(arch: str) -> tuple[int, ...] | None:
    """The ``input_shape`` of a network, without the batch, or None where it does not say."""
    shape = getattr(build_network(arch, num_classes=10, scale="tensor")[0], "input_shape", None)
    return None if shape is None else tuple(int(size) for size in shape)
