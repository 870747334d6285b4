"""Running a module once, eagerly, to see what its forward() does that no program can hold.

`torch.export` does not see an assignment to `.data` and traces the network without it, or reports such code in terms of its own inner
workings, often without the line. Here every call of PyTorch is seen
(`torch.overrides.TorchFunctionMode`), with the statement and the module that it comes from, and whether its operands depend on the input.
"""

from __future__ import annotations

import copy
import linecache
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree
from torch.utils.weak import WeakTensorKeyDictionary

_LIBRARIES = (str(Path(torch.__file__).parent), str(Path(np.__file__).parent), __file__)
_STANDARD = sysconfig.get_path("stdlib")
INPUT = "the input"
_TO_PYTHON = frozenset(
    {"__bool__", "__float__", "__int__", "__index__", "item", "tolist", "numpy", "__array__"}
)


@dataclass(frozen=True)
class Place:
    """A statement of the user's: the module path whose forward it stands in, `file:line`, and its text."""

    module: str
    source: str
    text: str

    def __str__(self) -> str:
        where = f"in module '{self.module or 'the model itself'}'"
        where += f" at {self.source}" if self.source else ""
        return where + (f" (`{self.text}`)" if self.text else "")


@dataclass(frozen=True)
class Event:
    """Something that a program cannot hold.

    Attributes:
        kind: "data" (an assignment to `.data` or a write through it), "read" (the `.data` of an activation), "python" (a tensor's value
            became a Python or NumPy value).
        what: the function.
        target: the parameter or buffer, where there is one.
        origins: the parameters and buffers that the tensor is computed from, and `INPUT`.
        place: where.
    """

    kind: str
    what: str
    target: str
    origins: tuple[str, ...]
    place: Place


@dataclass(frozen=True)
class Rehearsal:
    """The result of a rehearsal; `error` is what forward() raised, with its place."""

    events: tuple[Event, ...]
    error: BaseException | None
    place: Place | None


def rehearse(module: torch.nn.Module, example: torch.Tensor) -> Rehearsal:
    """Runs a copy of a module on a copy of an input."""
    example = example.clone()
    try:
        own = copy.deepcopy(module)
    except Exception:  # noqa: BLE001 - a module that cannot be copied is run as it is: it is about to be refused
        own = module
    watch = _Watch(own, example)
    try:
        with torch.no_grad(), watch:
            own(example)
    except Exception as error:  # noqa: BLE001 - whatever the user's code raises is the evidence
        return Rehearsal(tuple(watch.events), error, place_of(error.__traceback__, watch.names))
    return Rehearsal(tuple(watch.events), None, None)


def place_of(trace: TracebackType | None, names: dict[int, str]) -> Place | None:
    """The innermost statement of the user's own in a traceback."""
    frames = []
    while trace is not None:
        frames.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return _place(frames[::-1], names)


def module_names(module: torch.nn.Module) -> dict[int, str]:
    """The path of every module by its identity."""
    return {id(child): name for name, child in module.named_modules()}


def _place(frames: list[tuple[FrameType, int]], names: dict[int, str]) -> Place | None:
    """Of frames, the innermost first: the first one of the user's, with the module whose forward it is or is called by."""
    for position, (frame, line) in enumerate(frames):
        path = frame.f_code.co_filename
        if _is_library(path):
            continue
        around = (id(outer.f_locals.get("self")) for outer, _ in frames[position:])
        owner = next((names[one] for one in around if one in names), None)
        if owner is None:
            return None
        return Place(owner, f"{Path(path).name}:{line}", linecache.getline(path, line).strip())
    return None


def _is_library(path: str) -> bool:
    if path.startswith(("<", *_LIBRARIES)):
        return True
    return path.startswith(_STANDARD) and "site-packages" not in path


class _Watch(TorchFunctionMode):
    """Records events, and what every tensor is computed from."""

    def __init__(self, module: torch.nn.Module, example: torch.Tensor) -> None:
        super().__init__()
        self.names = module_names(module)
        self.events: list[Event] = []
        self._stored = {
            tensor.data_ptr(): name
            for name, tensor in (*module.named_parameters(), *module.named_buffers())
            if tensor.numel()
        }
        self._origins = WeakTensorKeyDictionary()
        self._origins[example] = frozenset({INPUT})
        self._data = WeakTensorKeyDictionary()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        tensors = _tensors((args, kwargs or {}))
        origins = frozenset[str]().union(*map(self._origin, tensors))
        writes = name in ("__setitem__", "__set__") or (name.endswith("_") and not name.endswith("__"))
        if func == torch.Tensor.data.__set__:  # type: ignore[attr-defined]
            self._note("data", "an assignment to .data", args[0], origins)
        elif name in _TO_PYTHON and tensors:
            self._note("python", name, tensors[0], origins)
        elif writes and tensors and tensors[0] in self._data:
            self._note("data", f"{name} through .data", tensors[0], origins)
        elif func == torch.Tensor.data.__get__ and INPUT in origins:  # type: ignore[attr-defined]
            self._note("read", "a read of .data", tensors[0], origins)
        result = func(*args, **(kwargs or {}))
        for tensor in (*_tensors(result), *(tensors[:1] if writes else [])):
            self._origins[tensor] = origins
            if func == torch.Tensor.data.__get__:  # type: ignore[attr-defined]
                self._data[tensor] = True
        return result

    def _origin(self, tensor: torch.Tensor) -> frozenset[str]:
        known: frozenset[str] | None = self._origins.get(tensor)
        if known is None:
            name = self._stored.get(tensor.data_ptr()) if tensor.numel() else None
            known = frozenset() if name is None else frozenset({name})
        return known

    def _frames(self) -> list[tuple[FrameType, int]]:
        frames: list[tuple[FrameType, int]] = []
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            frames.append((frame, frame.f_lineno))
            frame = frame.f_back
        return frames

    def _note(self, kind: str, what: str, tensor: torch.Tensor, origins: frozenset[str]) -> None:
        place = _place(self._frames(), self.names)
        if place is not None:
            target = self._stored.get(tensor.data_ptr(), "") if tensor.numel() else ""
            self.events.append(Event(kind, what, target, tuple(sorted(origins)), place))


def _tensors(items: Any) -> list[torch.Tensor]:
    return [item for item in _pytree.tree_leaves(items) if isinstance(item, torch.Tensor)]
