"""Refuses to load external runtimes, so that a fast test that needs one fails instead of depending on it.

Looking whether a runtime is installed stays possible: PyTorch itself does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

RUNTIMES = frozenset({"ai_edge_litert", "larq_compute_engine", "onnxruntime", "tensorflow", "tflite_runtime"})
"""Top-level packages of the external runtimes. PyTorch is no external one: the trained network itself runs on it."""

Refuse = Callable[[str], object]


class Refusal:
    """A finder for `sys.meta_path` whose runtimes call `refuse` with their name when they are loaded."""

    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for every other module: the next finder looks for it."""
        if name not in RUNTIMES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = _Loader(self._refuse)
        return spec


class _Loader(Loader):
    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse

    def create_module(self, spec: ModuleSpec) -> None:
        self._refuse(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        raise ImportError(f"{module.__name__} is refused")


def install(refuse: Refuse) -> None:
    """Puts the refusal before all other finders of this process."""
    sys.meta_path.insert(0, Refusal(refuse))
