"""The native library for the processor of the root, in the checkout that is in use."""

from __future__ import annotations

from pathlib import Path

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.native import DELEGATE
from native import build as builder

MACHINE = "aarch64"


def build() -> Path:
    """Compiles what has changed and puts the library where `fdabnn_deploy.delegate_path()` finds it on an aarch64 processor.

    Raises:
        RuntimeMissingError: the compiler is missing, or there is an error in the sources.
    """
    folder = builder.LIB / MACHINE
    try:
        builder.build(builder.TARGETS[MACHINE], folder)
    except builder.BuildError as error:
        raise RuntimeMissingError(str(error)) from None
    return folder / DELEGATE
