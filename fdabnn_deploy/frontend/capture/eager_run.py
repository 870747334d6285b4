"""Running a module eagerly, before it is traced: whether it runs, and the values of tensors that its forward() takes into Python.

A trace has no values, and reports code that needs them in terms of its own inner workings, often without the line. Here every call of
PyTorch is seen (`torch.overrides.TorchFunctionMode`), with the statement and the module that it comes from, and whether its operands depend
on the input.
"""

from __future__ import annotations

import copy
import linecache
import random
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
from fdabnn_deploy.frontend.capture.containers import kept_tensors
from fdabnn_deploy.frontend.checkpoint.copying import copy_module

_LIBRARIES = (
    str(Path(torch.__file__).parent),
    str(Path(np.__file__).parent),
    __file__,
    str(Path(__file__).with_name("python_values.py")),
)
_SMALL = 2**16
"""Values of a tensor that may count calls."""
_STANDARD = sysconfig.get_path("stdlib")
INPUT = "the input"
RANDOM = "random numbers"
TO_PYTHON = frozenset({
    "__bool__", "__float__", "__int__", "__index__", "item", "tolist", "numpy", "__array__", "equal", "allclose", "is_nonzero",
    "__format__", "__repr__", "__contains__", "__complex__",
})  # fmt: skip
"""Functions that take values of a tensor into Python or NumPy."""

_DRAWS = frozenset({
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli", "bernoulli_", "normal", "normal_",
    "uniform_", "random_", "exponential_", "multinomial", "poisson",
})  # fmt: skip
_SHAPED = frozenset({"unique", "unique_consecutive", "nonzero", "argwhere", "masked_select", "bincount"})


def shaped_by_values(name: str, args: tuple[Any, ...]) -> bool:
    """Whether the shape of a result depends on values, which a trace does not have: `torch.unique(t)`, `t[t > 0]`."""
    if name == "where":
        return len(args) == 1
    if name == "__getitem__":
        picked = args[1] if isinstance(args[1], tuple) else (args[1],)
        return any(
            isinstance(item, torch.Tensor) and item.dtype in (torch.bool, torch.uint8) for item in picked
        )
    return name in _SHAPED


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
    """A tensor's value that became a Python or NumPy value, or decided the shape of another tensor.

    Attributes:
        function: that took it.
        line: file and number of the user's line that did.
        value: what it returned.
        origins: the parameters and buffers that the tensor is computed from, `INPUT` and `RANDOM`.
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
        changing: parameters, buffers and other tensors that have other values after a second run than after the first.
        counters: numbers that do, such as `self.calls`: module path, attribute, and value.
        written: positions of reads whose NumPy array forward() wrote into, and so into the tensor.
        registered: parameters and buffers that the first call made.
        unlike: those of them that another input, or chance, gives other values.
        draws: whether random numbers of Python or NumPy were drawn.
        error: what forward() raised.
        place: where it did.
    """

    reads: tuple[Read, ...] = ()
    changing: frozenset[str] = frozenset()
    counters: tuple[tuple[str, str, float], ...] = ()
    written: tuple[int, ...] = ()
    registered: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    draws: bool = False
    error: BaseException | None = None
    place: Place | None = None


def rehearse(module: torch.nn.Module, example: torch.Tensor) -> Rehearsal:
    """Runs a copy of a module on a copy of an input, twice where values are taken into Python or something changes."""
    try:
        own = copy_module(module, "the model")
    except UsageError:
        own = module
    states, watches = [_State(own)], list[_Watch]()
    chance = _chance()
    while len(watches) < 2 and (not watches or watches[0].reads or states[-1].changes(states[-2])):
        given = example.clone()
        watches.append(_Watch(own, given))
        try:
            with torch.no_grad(), watches[-1]:
                own(given)
        except Exception as error:  # noqa: BLE001 - whatever the user's code raises is the evidence
            if len(watches) > 1:
                break
            place = place_of(error.__traceback__, watches[0].names)
            return Rehearsal(tuple(watches[0].reads), error=error, place=place)
        states.append(_State(own))
    first = watches[0]
    registered = tuple(name for name in _stored(own) if name not in first.stored)
    if registered:
        return Rehearsal(registered=registered, unlike=_unlike(module, own, registered, example))
    draws = _chance() != chance
    if len(states) < 3:
        return Rehearsal(tuple(first.reads), written=first.written(), draws=draws)
    changing = states[2].changes(states[1])
    return Rehearsal(
        reads=tuple(first.reads),
        changing=frozenset(changing),
        counters=states[2].counters(states[1], states[0]),
        written=first.written(),
        draws=draws,
    )


def _chance() -> tuple[object, ...]:
    """The states of the generators of Python and NumPy."""
    name, keys, *rest = np.random.get_state()
    return (random.getstate(), name, np.asarray(keys).tobytes(), *rest)


def _stored(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict((*module.named_parameters(), *module.named_buffers()))


def _unlike(
    module: torch.nn.Module, run: torch.nn.Module, registered: tuple[str, ...], example: torch.Tensor
) -> tuple[str, ...]:
    """Of what is registered, the values that differ in a copy that is run on another input."""
    another = copy_module(module, "the model")
    with torch.no_grad():
        for _ in range(2):
            another(torch.rand(example.shape, generator=torch.Generator().manual_seed(0)))
    made, others = _stored(run), _stored(another)
    return tuple(name for name in registered if name not in others or not _same(made[name], others[name]))


class _State:
    """The small tensors that a module keeps, and its numbers: what counts calls.

    Attributes:
        tensors: by `module.name`.
        numbers: by `module:attribute`.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self.tensors = {
            name: tensor.detach().clone()
            for name, tensor in kept_tensors(module).items()
            if tensor.numel() <= _SMALL
        }
        self.numbers: dict[str, float] = {}
        for path, child in module.named_modules():
            for name, value in vars(child).items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    self.numbers[f"{path}:{name}"] = value

    def changes(self, before: _State) -> list[str]:
        """The names of what is not as it was."""
        tensors = [
            name
            for name, tensor in self.tensors.items()
            if name not in before.tensors or not _same(tensor, before.tensors[name])
        ]
        return tensors + [name for name, value in self.numbers.items() if before.numbers.get(name) != value]

    def counters(self, before: _State, first: _State) -> tuple[tuple[str, str, float], ...]:
        """The numbers that are not as they were before: module path, attribute, and the value that they had first."""
        found = []
        for name in self.changes(before):
            if name in self.numbers:
                path, _, attribute = name.rpartition(":")
                found.append((path, attribute, first.numbers.get(name, 0)))
        return tuple(found)


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))


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
        self._arrays: list[tuple[int, Any]] = []
        self.stored = frozenset(_stored(module))
        self._stored = {
            tensor.data_ptr(): name for name, tensor in kept_tensors(module).items() if tensor.numel()
        }
        self._origins = WeakTensorKeyDictionary()
        self._origins[example] = frozenset({INPUT})

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        tensors = _tensors((args, kwargs or {}))
        origins = frozenset[str]().union(*map(self._origin, tensors))
        if name in _DRAWS:
            origins |= {RANDOM}
        result = func(*args, **(kwargs or {}))
        if tensors and (name in TO_PYTHON or shaped_by_values(name, args)):
            place = _place(_frames(), self.names)
            if isinstance(result, np.ndarray):
                self._arrays.append((len(self.reads), result))
            self.reads.append(Read(name, users_line(), own_copy(result), tuple(sorted(origins)), place))
        for tensor in (*_tensors(result), *(tensors[:1] if _writes(name) else [])):
            self._origins[tensor] = origins
        return result

    def written(self) -> tuple[int, ...]:
        """The positions of reads whose array was written afterwards."""
        pairs = ((position, array, self.reads[position].value) for position, array in self._arrays)
        return tuple(
            p for p, now, then in pairs if not np.array_equal(now, then, equal_nan=now.dtype.kind == "f")
        )

    def _origin(self, tensor: torch.Tensor) -> frozenset[str]:
        known: frozenset[str] | None = self._origins.get(tensor)
        if known is None:
            name = self._stored.get(tensor.data_ptr()) if tensor.numel() else None
            known = frozenset() if name is None else frozenset({name})
        return known


def own_copy(value: Any) -> Any:
    """A copy of what a read returned."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return tuple(map(own_copy, value)) if isinstance(value, tuple) else copy.copy(value)


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
