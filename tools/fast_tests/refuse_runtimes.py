"""Refuses the imports of external runtimes, so that a fast test that needs one fails instead of depending on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

RUNTIMES = frozenset({"ai_edge_litert", "larq_compute_engine", "onnxruntime", "tensorflow", "tflite_runtime"})
"""Top-level packages of the external runtimes. PyTorch is no external one: the trained network itself runs on it."""


class Refusal:
    """A finder for `sys.meta_path` that calls `refuse` with the name of a runtime that is looked for."""

    def __init__(self, refuse: Callable[[str], object]) -> None:
        self._refuse = refuse

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for every other module: the next finder looks for it."""
        del path, target
        if name.split(".")[0] in RUNTIMES:
            self._refuse(name)
        return None


def install(refuse: Callable[[str], object]) -> None:
    """Puts the refusal before all other finders of this process."""
    sys.meta_path.insert(0, Refusal(refuse))
