"""Finding what other packages offer, through entry points, with an error that suggests the nearest name."""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from fdabnn_deploy.errors import RuntimeMissingError, UsageError

INSTALL = "pip install 'fdabnn-deploy[export]'"
INSTALL_LCE = "pip install 'fdabnn-deploy[export,lce]'"
"""Besides: TensorFlow and Larq Compute Engine."""


def names(group: str) -> list[str]:
    """The names registered in an entry point group, sorted."""
    return sorted({entry.name for entry in entry_points(group=group)})


def load(group: str, name: str, what: str) -> Any:
    """Loads one entry point.

    Args:
        group: such as `fdabnn_deploy.converters`.
        name: of the entry.
        what: how the error calls it, such as "target".

    Raises:
        UsageError: nothing of this name is registered, or what is registered is not there.
        RuntimeMissingError: it is registered, but a package that it needs is not installed.
    """
    found: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=group)}
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"unknown {what} '{name}': {hint}known: {', '.join(sorted(found)) or 'none'}")
    try:
        return found[name].load()
    except ModuleNotFoundError as error:
        raise _missing(f"{what} '{name}'", error) from None
    except AttributeError:
        raise UsageError(
            f"{what} '{name}' is registered as {found[name].value}, which is not there: install its package again"
        ) from None


def resolve(place: str, what: str, install: str = INSTALL) -> Any:
    """The object at `module:attribute`.

    Args:
        place: such as `fdabnn_onnx.converter:CONVERTER`.
        what: asks for it, in the error.
        install: the command that brings the packages which the module imports.

    Raises:
        RuntimeMissingError: a package that it needs is not installed.
    """
    module, _, attribute = place.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise _missing(what, error, install) from None


def _missing(what: str, error: ModuleNotFoundError, install: str = INSTALL) -> RuntimeMissingError:
    return RuntimeMissingError(f"{what} needs the package '{error.name}': install it with  {install}")
