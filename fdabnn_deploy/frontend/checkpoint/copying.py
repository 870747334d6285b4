"""Copying a module, so that the user's own stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.frontend.checkpoint.unwrap import shorten


def without_wrapper(module: nn.Module) -> nn.Module:
    """The module inside of what DataParallel, torch.compile and weight averaging put around it."""
    while True:
        inner = getattr(module, "_orig_mod", None)
        if isinstance(module, DataParallel | DistributedDataParallel | AveragedModel):
            inner = module.module
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def check_copyable(module: nn.Module, what: str) -> None:
    """Does nothing for a module with code in Python and weights.

    Raises:
        ModelRefusedError: it is TorchScript, it lies on the meta device, or a layer never made its weights.
    """
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelRefusedError(
            f"{what} is TorchScript (of torch.jit.trace or torch.jit.script), which has lost the module's own code: export the module it "
            "was made from, with its weights by load_state_dict(traced.state_dict())"
        )
    quantised = [name for name, child in module.named_modules() if ".quantized" in type(child).__module__]
    if quantised:
        raise ModelRefusedError(
            f"{what} is quantised by PyTorch ({shorten([name or type(module).__name__ for name in quantised])}): export the float network "
            "that it was made from"
        )
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    lazy = [name for name, tensor in tensors.items() if is_lazy(tensor)]
    if lazy:
        raise ModelRefusedError(
            f"{what} has lazy layers that have no weights yet ({shorten(lazy)}): run it once on an input and load its weights, then export"
        )
    meta = [name for name, tensor in tensors.items() if tensor.is_meta]
    if meta:
        raise ModelRefusedError(
            f"{what} is on the meta device, without numbers in {shorten(meta)}: make it on the CPU, or call to_empty(device='cpu'), and "
            "load its weights"
        )


def copy_module(module: nn.Module, what: str) -> nn.Module:
    """A deep copy.

    Tensors that were computed and kept on the module are copied without their history; what cannot be copied at all, such as a lock or an
    open file, is shared.

    Args:
        module: stays as it is.
        what: how errors call it.

    Raises:
        UsageError: PyTorch cannot copy it even so.
    """
    try:
        try:
            return _copied(module, copy.deepcopy)
        except Exception:  # noqa: BLE001 - whatever a module's own way of copying raises, its parts may be copied
            return _copied(module, _copy_parts)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"{what} cannot be copied ({lines[0]}): export a module that is made new and has its weights by load_state_dict"
        ) from error


def _copied(module: nn.Module, copy_it: Callable[[nn.Module, dict[int, Any]], nn.Module]) -> nn.Module:
    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        _prepare(vars(parameter), memo, set())
    for child in module.modules():
        for name, value in vars(child).items():
            if name not in ("_parameters", "_modules"):
                _prepare(value, memo, set())
    copied = copy_it(module, memo)
    for name, parameter in copied.named_parameters():
        # PyTorch copies a parameter without what was put on it, such as `weight.org`.
        vars(parameter).update(copy.deepcopy(vars(module.get_parameter(name)), memo))
    return copied


def _copy_parts(module: nn.Module, memo: dict[int, Any]) -> nn.Module:
    """Copies attribute by attribute, the innermost modules first, as for containers of layers that forbid to be copied."""
    copies = {child: object.__new__(type(child)) for child in module.modules()}
    memo.update((id(child), copied) for child, copied in copies.items())
    for child, copied in reversed(copies.items()):
        vars(copied).update(copy.deepcopy(vars(child), memo))
    return copies[module]


def _prepare(value: Any, memo: dict[int, Any], seen: set[int]) -> None:
    """Tells `copy.deepcopy`, through its memo, what becomes of a value that it cannot copy."""
    if id(value) in seen or id(value) in memo or isinstance(value, nn.Module):
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        if not value.is_leaf:
            memo[id(value)] = value.detach().clone()
        return
    if isinstance(value, dict):
        for one in value.values():
            _prepare(one, memo, seen)
        return
    if isinstance(value, list | tuple | set | frozenset):
        for one in value:
            _prepare(one, memo, seen)
        return
    try:
        # The memo is only read here: what this copies is thrown away.
        copy.deepcopy(value, dict(memo))
    except Exception:  # noqa: BLE001 - anything may be raised by a foreign object's own copying
        memo[id(value)] = value
