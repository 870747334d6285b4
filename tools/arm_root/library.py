"""The native library for the processor of the root, in the checkout that is in use."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.native import DELEGATE

MACHINE = "aarch64"
_BUILD = Path(__file__).resolve().parents[1] / "native" / "build.py"


def build() -> Path:
    """Compiles what has changed and puts the library where `fdabnn_deploy.delegate_path()` finds it on an aarch64 processor.

    Raises:
        RuntimeMissingError: the compiler is missing, or there is an error in the sources.
    """
    builder = _builder()
    folder: Path = builder.LIB / MACHINE
    try:
        builder.build(builder.TARGETS[MACHINE], folder)
    except builder.BuildError as error:
        raise RuntimeMissingError(str(error)) from None
    return folder / DELEGATE


def _builder() -> ModuleType:
    """tools/native/build.py, by its path: the name belongs to the PyPI package `build`."""
    spec = importlib.util.spec_from_file_location("fdabnn_native_build", _BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
