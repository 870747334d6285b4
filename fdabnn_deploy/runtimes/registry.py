"""The runtimes by name and by the suffix of the files they open. Their modules are imported when one is asked for."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from pathlib import Path

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.runtimes.base import Runtime


@dataclass(frozen=True)
class _Entry:
    module: str
    class_name: str
    suffixes: tuple[str, ...]
    beside: bool = False


_RUNTIMES: dict[str, _Entry] = {
    "onnxruntime": _Entry("fdabnn_deploy.runtimes.onnx.onnxruntime", "OnnxRuntime", (".onnx",)),
    "litert": _Entry("fdabnn_deploy.runtimes.tflite.litert", "LiteRtRuntime", (".tflite",)),
    "lce": _Entry("fdabnn_deploy.runtimes.tflite.lce", "LceRuntime", (".tflite",), beside=True),
    "tflite": _Entry("fdabnn_deploy.runtimes.tflite.tensorflow_lite", "TfliteRuntime", (".tflite",)),
    "qemu-aarch64": _Entry(
        "fdabnn_deploy.runtimes.emulator.qemu_aarch64", "QemuRuntime", (".onnx", ".tflite")
    ),
}
"""The first of a suffix opens such files by default; those marked check them beside it."""


def names() -> list[str]:
    """The names of all runtimes, sorted."""
    return sorted(_RUNTIMES)


def get(name: str) -> Runtime:
    """The runtime of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in _RUNTIMES:
        near = difflib.get_close_matches(name, _RUNTIMES, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"unknown runtime '{name}': {hint}known: {', '.join(names())}")
    entry = _RUNTIMES[name]
    runtime: Runtime = getattr(importlib.import_module(entry.module), entry.class_name)()
    return runtime


def for_file(path: Path) -> Runtime:
    """The runtime that opens files with this path's suffix by default.

    Raises:
        UsageError: no runtime does.
    """
    for name, entry in _RUNTIMES.items():
        if path.suffix.lower() in entry.suffixes:
            return get(name)
    known = ", ".join(dict.fromkeys(suffix for entry in _RUNTIMES.values() for suffix in entry.suffixes))
    raise UsageError(f"{path}: no runtime opens files that end in '{path.suffix}': known: {known}")


def beside(path: Path) -> list[Runtime]:
    """The runtimes, installed or not, that check files with this path's suffix beside the one of `for_file`."""
    return [
        get(name)
        for name, entry in _RUNTIMES.items()
        if entry.beside and path.suffix.lower() in entry.suffixes
    ]
