"""Hatchling's hook: builds the native library for wheels and editable installs, and gives the wheel its platform's name."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LIB = Path("fdabnn_deploy", "native", "lib")


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
    """Where the library cannot be loaded the package is built without it, and says so.

    The environment variable FDABNN_WHEEL asks for a wheel for another machine than this one: a name in `WHEELS` of build.py.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds the products. A wheel that contains them is one for this kind of machine and any Python 3."""
        builder = _builder(self.root)
        machine = os.environ.get("FDABNN_WHEEL") or builder.supported_machine()
        if machine is None:
            self.app.display_warning(
                "fdabnn-deploy: the native kernels exist for x86-64 and aarch64 Linux with glibc; installing without them"
            )
            return
        if version == "editable":
            builder.build()
            return
        if machine not in builder.WHEELS:
            self.app.abort(f"FDABNN_WHEEL is {machine!r}: give one of {', '.join(builder.WHEELS)}")
        wheel = builder.WHEELS[machine]
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{wheel.platform}"
        # From a folder of their own, not from the checkout's, which may hold more.
        out = Path(self.root) / "build" / "wheels" / machine
        for folder, target in wheel.targets.items():
            for file in builder.build(target, out / folder):
                build_data["force_include"][str(file)] = (LIB / folder / file.name).as_posix()
