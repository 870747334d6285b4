"""Softmax and log-softmax at the end of a network: they keep the order of the scores, and no two runtimes compute the same exponentials.

A module without them returns what they read. It computes so wherever it is called: while it is traced, and where its outputs are the truth.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree
from torch.utils.weak import WeakTensorKeyDictionary

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture.traced_value import arguments, function_name

_FUNCTIONS = ("softmax", "log_softmax", "_softmax", "_log_softmax")
_SAME = ("detach", "clone", "contiguous", "alias")
"""Functions whose result has the values of what they read."""
_CLASSES = 1
"""The dimension of the scores."""


def final_softmax(outputs: tuple[Any, ...]) -> dict[int, str]:
    """The functions over the classes that a program ends with, by the position of the output."""
    found: dict[int, str] = {}
    for position, output in enumerate(outputs):
        node = output
        while (
            isinstance(node, torch.fx.Node)
            and node.op == "call_function"
            and function_name(node.target) in _SAME
        ):
            node = node.args[0]
        if isinstance(node, torch.fx.Node) and node.op == "call_function":
            name = function_name(node.target)
            if name in _FUNCTIONS and _over_classes(int(arguments(node)[1]), node.meta["val"].dim()):
                found[position] = name.lstrip("_")
    return found


def leave_out_softmax(module: torch.nn.Module) -> None:
    """Makes a module return its scores instead of their softmax or log-softmax; the module is changed."""
    kind = type(module)

    def call(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        mode = _Scores()
        with mode:
            returned = kind._call_impl(self, *args, **kwargs)
        return _pytree.tree_map_only(torch.Tensor, lambda t: mode.scores.get(t, t), returned)

    # Around forward() and the module's own hooks, of which one may make the softmax.
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "_call_impl": call}
    # A class of its own, and not a function on the module, is what copies of the module have as well.
    try:
        module.__class__ = type(kind.__name__, (kind,), names)
    except TypeError as error:
        raise ModelRefusedError(
            f"the softmax that the network ends with cannot be left out: no class can be derived from {kind.__name__} ({error}); return "
            "the scores that it reads, which rank the classes alike"
        ) from None


class _Scores(TorchFunctionMode):
    """Remembers what every softmax over the classes was computed from."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = WeakTensorKeyDictionary()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        name, source = getattr(func, "__name__", ""), args[0] if args else given.get("input")
        if not isinstance(result, torch.Tensor) or not isinstance(source, torch.Tensor):
            return result
        if name in _SAME and source in self.scores:
            self.scores[result] = self.scores[source]
        elif name in _FUNCTIONS:
            dim = given.get("dim", args[1] if len(args) > 1 else None)
            if dim is None:
                # PyTorch's choice where none is given.
                dim = 0 if result.dim() in (0, 1, 3) else 1
            if _over_classes(dim, result.dim()):
                # A copy: what it was computed from may be written afterwards.
                self.scores[result] = source.clone()
        return result


def _over_classes(dim: int, rank: int) -> bool:
    return rank > _CLASSES and dim % rank == _CLASSES
