"""Running a module eagerly, before it is traced: whether it runs, and the values of tensors that its forward() takes into Python.

A trace has no values, and reports code that needs them in terms of its own inner workings, often without the line. Here every call of
PyTorch is seen (`torch.overrides.TorchFunctionMode`), with the statement and the module that it comes from, and whether its operands depend
on the input.
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

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.frontend.checkpoint.copying import copy_module

_LIBRARIES = (
    str(Path(torch.__file__).parent),
    str(Path(np.__file__).parent),
    __file__,
    str(Path(__file__).with_name("python_values.py")),
)
_STANDARD = sysconfig.get_path("stdlib")
INPUT = "the input"
TO_PYTHON = frozenset({
    "__bool__", "__float__", "__int__", "__index__", "item", "tolist", "numpy", "__array__", "equal", "allclose", "is_nonzero",
    "__format__",
})  # fmt: skip
"""Functions that take values of a tensor into Python or NumPy."""


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


Line = tuple[str, int]


@dataclass(frozen=True)
class Read:
    """A tensor's value that became a Python or NumPy value.

    Attributes:
        function: that took it.
        line: file and number of the user's line that did.
        value: what it returned.
        origins: the parameters and buffers that the tensor is computed from, and `INPUT`.
        place: where; None inside of libraries.
    """

    function: str
    line: Line
    value: Any
    origins: tuple[str, ...]
    place: Place | None


@dataclass(frozen=True)
class Rehearsal:
    """The result of a rehearsal.

    Attributes:
        reads: the values that were taken into Python, in their order.
        again: the same of a second run on the same input, where the first one took any.
        error: what forward() raised.
        place: where it did.
    """

    reads: tuple[Read, ...] = ()
    again: tuple[Read, ...] = ()
    error: BaseException | None = None
    place: Place | None = None

    @property
    def changed(self) -> tuple[int, ...]:
        """The positions of reads that the second run answers differently: forward() changes what they look at."""
        if len(self.reads) != len(self.again):
            return ()
        pairs = enumerate(zip(self.reads, self.again, strict=True))
        return tuple(position for position, (first, second) in pairs if not _same(first.value, second.value))


def rehearse(module: torch.nn.Module, example: torch.Tensor) -> Rehearsal:
    """Runs a copy of a module on a copy of an input, twice where values are taken into Python."""
    try:
        own = copy_module(module, "the model")
    except UsageError:
        own = module
    runs: list[tuple[Read, ...]] = []
    while len(runs) < 2 and (not runs or runs[0]):
        given = example.clone()
        watch = _Watch(own, given)
        try:
            with torch.no_grad(), watch:
                own(given)
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises is the evidence
            if runs:
                break
            return Rehearsal(tuple(watch.reads), (), error, place_of(error.__traceback__, watch.names))
        runs.append(tuple(watch.reads))
    return Rehearsal(runs[0], runs[1] if len(runs) > 1 else ())


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=np.asarray(a).dtype.kind == "f")


def is_users(trace: TracebackType | None) -> bool:
    """Whether the innermost frame of a traceback is the user's own code."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and not _is_library(trace.tb_frame.f_code.co_filename)


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
    """Records what is taken into Python, and what every tensor is computed from."""

    def __init__(self, module: torch.nn.Module, example: torch.Tensor) -> None:
        super().__init__()
        self.names = module_names(module)
        self.reads: list[Read] = []
        self._stored = {
            tensor.data_ptr(): name
            for name, tensor in (*module.named_parameters(), *module.named_buffers())
            if tensor.numel()
        }
        self._origins = WeakTensorKeyDictionary()
        self._origins[example] = frozenset({INPUT})

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        tensors = _tensors((args, kwargs or {}))
        origins = frozenset[str]().union(*map(self._origin, tensors))
        result = func(*args, **(kwargs or {}))
        if name in TO_PYTHON and tensors:
            place = _place(_frames(), self.names)
            self.reads.append(Read(name, users_line(), copy.copy(result), tuple(sorted(origins)), place))
        for tensor in (*_tensors(result), *(tensors[:1] if _writes(name) else [])):
            self._origins[tensor] = origins
        return result

    def _origin(self, tensor: torch.Tensor) -> frozenset[str]:
        known: frozenset[str] | None = self._origins.get(tensor)
        if known is None:
            name = self._stored.get(tensor.data_ptr()) if tensor.numel() else None
            known = frozenset() if name is None else frozenset({name})
        return known


def users_line() -> Line:
    """Where the innermost code of the user's stands that runs now."""
    own = (frame for frame in _frames() if not _is_library(frame[0].f_code.co_filename))
    return next(((frame.f_code.co_filename, line) for frame, line in own), ("", 0))


def _frames() -> list[tuple[FrameType, int]]:
    """The frames that run now, the innermost first."""
    frames: list[tuple[FrameType, int]] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return frames


def _writes(function: str) -> bool:
    """Whether a function of this name writes into its first operand."""
    return function in ("__setitem__", "__set__") or (function.endswith("_") and not function.endswith("__"))


def _tensors(items: Any) -> list[torch.Tensor]:
    return [item for item in _pytree.tree_leaves(items) if isinstance(item, torch.Tensor)]
