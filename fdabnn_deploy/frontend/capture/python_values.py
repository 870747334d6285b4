"""While a module is traced: what its forward() does outside of the calls that a trace holds.

A traced module computes on tensors without values, so that `if self.temperature < 1e-7`, `self.count.item()` and `np.sign(weight)` have
nothing to go by; and `torch.export` does not see an assignment to `.data`. Here every call of PyTorch is seen
(`torch.overrides.TorchFunctionMode`):

| forward() writes                            | while it is traced                                                                      |
|---------------------------------------------|-----------------------------------------------------------------------------------------|
| `t.data`, read                              | `t.detach()`, whose writes reach `t`                                                    |
| `t.data = value`                            | every later call that is given `t` gets the value; the module's own tensor stays        |
| `bool(t)`, `t.item()`, `np.sign(t)`, ...    | the value that it had when the module was run on the same input (`eager_run.rehearse`)  |
| `self.output = t`                           | forgotten afterwards                                                                    |
"""

from __future__ import annotations

import copy
import inspect
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree
from torch.utils.weak import WeakTensorKeyDictionary

from fdabnn_deploy.frontend.capture.eager_run import TO_PYTHON, Line, Read, users_line
from fdabnn_deploy.frontend.capture.python_reads import TEXTS, NewReadError

_REGISTERED = ("_parameters", "_buffers", "_modules")
_GET = torch.Tensor.data.__get__  # type: ignore[attr-defined]
_SET = torch.Tensor.data.__set__  # type: ignore[attr-defined]


@contextmanager
def python_values(module: torch.nn.Module, reads: Sequence[Read]) -> Iterator[None]:
    """Inside, forward() of the module is traced as the table above says.

    Args:
        module: its attributes have their old values afterwards.
        reads: what the calls that take values into Python return. One that is not among them stands on a branch that was not taken then.
    """
    forward = module.forward
    before = {child: dict(vars(child)) for child in module.modules()}
    containers = [
        (value, copy.copy(value))
        for attributes in before.values()
        for name, value in attributes.items()
        if isinstance(value, dict | list) and (name in _REGISTERED or not name.startswith("_"))
    ]
    # An attribute of a parameter, such as `weight.org`, is not on the tensor that stands for it in a trace.
    added = {name: dict(vars(tensor)) for name, tensor in _stored(module).items() if vars(tensor)}

    def followed(*args: Any, **kwargs: Any) -> Any:
        parameters = _stored(module)
        for name, attributes in added.items():
            for attribute, value in attributes.items():
                setattr(parameters[name], attribute, value)
        mode = _Followed(reads)
        with mode:
            returned = forward(*args, **kwargs)
        return mode.current(returned)

    followed.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    module.forward = followed
    try:
        yield
    finally:
        for child, attributes in before.items():
            vars(child).clear()
            vars(child).update(attributes)
        for container, content in containers:
            container.clear()
            container.extend(content) if isinstance(container, list) else container.update(content)


def _stored(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return dict((*module.named_parameters(), *module.named_buffers()))


class _Followed(TorchFunctionMode):
    """Follows one run of forward()."""

    def __init__(self, reads: Sequence[Read]) -> None:
        super().__init__()
        self._answers: dict[tuple[str, Line], deque[Any]] = defaultdict(deque)
        for read in reads:
            self._answers[read.function, read.line].append(read.value)
            if read.function == "tolist":
                # Tensors without values make a list item by item.
                self._answers["item", read.line].extend(np.asarray(read.value).reshape(-1).tolist())
        self._assigned = WeakTensorKeyDictionary()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func == _SET:
            # A tensor of its own: a later assignment to the value's own `.data` is not one to this.
            self._assigned[args[0]] = self.current(args[1]).detach()
            return None
        args, kwargs = self.current((args, kwargs or {}))
        if func == _GET:
            return args[0].detach()
        name = getattr(func, "__name__", "")
        if name in TO_PYTHON:
            waiting = self._answers[name, users_line()]
            if not waiting and name in TEXTS:
                return ""
            if not waiting:
                raise NewReadError(f"{name} at {users_line()}")
            return copy.copy(waiting.popleft())
        return func(*args, **kwargs)

    def current(self, items: Any) -> Any:
        """The same with what was assigned to the `.data` of its tensors."""
        return _pytree.tree_map_only(torch.Tensor, self._latest, items)

    def _latest(self, tensor: torch.Tensor) -> torch.Tensor:
        latest: torch.Tensor = self._assigned.get(tensor, tensor)
        return latest
