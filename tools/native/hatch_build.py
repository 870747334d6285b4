"""Hatchling's hook: builds the native library for wheels and editable installs, and gives the wheel its platform's name."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _builder(root: str) -> ModuleType:
    """tools/native/build.py, by its path: the name belongs to the PyPI package `build`."""
    spec = importlib.util.spec_from_file_location(
        "fdabnn_native_build", Path(root) / "tools" / "native" / "build.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class NativeLibraryHook(BuildHookInterface[Any]):
    """Where the library cannot be loaded the package is built without it, and says so."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the library. A wheel that contains it is one for this kind of machine and any Python 3."""
        builder = _builder(self.root)
        machine = builder.supported_machine()
        if machine is None:
            self.app.display_warning(
                "fdabnn-deploy: the native kernels exist for x86-64 and aarch64 Linux with glibc; installing without them"
            )
            return
        files = builder.build()
        if version != "editable":
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-manylinux_2_17_{machine}"
            build_data["artifacts"].extend(file.relative_to(self.root).as_posix() for file in files)
