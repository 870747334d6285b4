"""While a module is traced: what its forward() does outside of the calls that a trace holds.

A traced module computes on tensors without values, so that `if self.temperature < 1e-7`, `self.count.item()` and `np.sign(weight)` have
nothing to go by; and `torch.export` does not see an assignment to `.data`. Here every call of PyTorch is seen
(`torch.overrides.TorchFunctionMode`):

| forward() writes                            | while it is traced                                                                      |
|---------------------------------------------|-----------------------------------------------------------------------------------------|
| `t.data`, read                              | `t.detach()`, whose writes reach `t`                                                    |
| `t.data = value`                            | every later call that is given `t` gets the value; the module's own tensor stays        |
| `bool(t)`, `t.item()`, `np.sign(t)`, ...    | the value that it had when the module was run on the same input (`eager_run.rehearse`)  |
| `torch.unique(t)`, `t[t > 0]`, ...          | the same: their shapes depend on values                                                 |
| `self.output = t`                           | forgotten afterwards                                                                    |
"""

from __future__ import annotations

import builtins
import math
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree
from torch.utils.weak import WeakTensorKeyDictionary

from fdabnn_deploy.frontend.capture.containers import contained_tensors, put_back, remember
from fdabnn_deploy.frontend.capture.eager_run import (
    TO_PYTHON,
    Line,
    Read,
    own_copy,
    shaped_by_values,
    users_line,
)
from fdabnn_deploy.frontend.capture.python_reads import TEXTS, NewReadError, guessed

_PLAIN = (builtins.max, builtins.min, math.pow)
_GET = torch.Tensor.data.__get__  # type: ignore[attr-defined]
_SET = torch.Tensor.data.__set__  # type: ignore[attr-defined]


@contextmanager
def python_values(
    module: torch.nn.Module, reads: Sequence[Read], guess: float | None = None
) -> Iterator[None]:
    """Inside, forward() of the module is traced as the table above says.

    Args:
        module: its attributes have their old values afterwards.
        reads: what the calls that take values into Python return. One that is not among them stands on a branch that was not taken then.
        guess: a number that such a one returns; without it, `NewReadError` is raised.
    """
    kind = type(module)
    before = {child: dict(vars(child)) for child in module.modules()}
    containers = remember(module)
    listed = {id(tensor) for _, _, tensor in contained_tensors(module)}
    twice = {name: tensor for name, tensor in _stored(module).items() if id(tensor) in listed}
    # An attribute of a parameter, such as `weight.org`, is not on the tensor that stands for it in a trace.
    added = {name: dict(vars(tensor)) for name, tensor in _stored(module).items() if vars(tensor)}

    def followed(*args: Any, **kwargs: Any) -> Any:
        parameters = _stored(module)
        for name, attributes in added.items():
            for attribute, value in attributes.items():
                setattr(parameters[name], attribute, value)
        mode = _Followed(reads, guess)
        for name, tensor in twice.items():
            mode.stand_in(tensor, parameters[name])
        with _plain_builtins(), mode:
            returned = kind._call_impl(module, *args, **kwargs)
        return mode.current(returned)

    # Not forward(): the hooks of the module itself are the user's code, too.
    module._call_impl = followed  # type: ignore[method-assign]
    try:
        yield
    finally:
        for child, attributes in before.items():
            vars(child).clear()
            vars(child).update(attributes)
        put_back(containers)


@contextmanager
def _plain_builtins() -> Iterator[None]:
    """While `torch.export` traces, `max` and `min` are functions of two tensors, and fail on what they are given elsewhere."""
    replaced = (builtins.max, builtins.min, math.pow)
    builtins.max, builtins.min, math.pow = _PLAIN
    try:
        yield
    finally:
        builtins.max, builtins.min, math.pow = replaced


def _stored(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict((*module.named_parameters(), *module.named_buffers()))


class _Followed(TorchFunctionMode):
    """Follows one run of forward()."""

    def __init__(self, reads: Sequence[Read], guess: float | None) -> None:
        super().__init__()
        self._guess = guess
        self._answers: dict[tuple[str, Line], deque[Any]] = defaultdict(deque)
        for read in reads:
            self._answers[read.function, read.line].append(read.value)
            if read.function == "tolist":
                # Tensors without values make a list item by item.
                self._answers["item", read.line].extend(np.asarray(read.value).reshape(-1).tolist())
        self._assigned = WeakTensorKeyDictionary()
        self._traced = WeakTensorKeyDictionary()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func == _SET:
            # A tensor of its own: a later assignment to the value's own `.data` is not one to this.
            self._assigned[self._traced.get(args[0], args[0])] = self.current(args[1]).detach()
            return None
        args, kwargs = self.current((args, kwargs or {}))
        if func == _GET:
            return args[0].detach()
        name = getattr(func, "__name__", "")
        if name in TO_PYTHON or shaped_by_values(name, args):
            waiting = self._answers[name, users_line()]
            if waiting:
                return own_copy(waiting.popleft())
            if name in TEXTS:
                return ""
            if self._guess is None or name not in TO_PYTHON:
                raise NewReadError(f"{name} at {users_line()}")
            return guessed(name, args[0], self._guess)
        return func(*args, **kwargs)

    def stand_in(self, tensor: torch.Tensor, traced: torch.Tensor) -> None:
        """From now on a parameter or buffer that is in a list as well is what stands for it in the trace."""
        self._traced[tensor] = traced

    def current(self, items: Any) -> Any:
        """The same with what was assigned to the `.data` of its tensors."""
        return _pytree.tree_map_only(torch.Tensor, self._latest, items)

    def _latest(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = self._traced.get(tensor, tensor)
        latest: torch.Tensor = self._assigned.get(tensor, tensor)
        return latest
