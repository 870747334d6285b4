"""Lists, dicts and their like among the attributes of modules, and the tensors that are kept in them."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch

_REGISTERED = ("_parameters", "_buffers", "_modules")
_CHANGEABLE = (list, dict, set, deque)


def kept_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters, buffers, and other tensors among the attributes of modules, by `module.name`."""
    kept = dict((*module.named_parameters(), *module.named_buffers()))
    for path, child in module.named_modules():
        for name, value in vars(child).items():
            if isinstance(value, torch.Tensor):
                kept[f"{path}.{name}" if path else name] = value
    return kept


def contained_tensors(module: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, str, torch.Tensor]]:
    """The tensors inside of containers: the module, a name such as `saved_0`, and the tensor."""
    for child in module.modules():
        for attribute, value in _own(child):
            for name, tensor in _inside(value, attribute):
                yield child, name, tensor


def remember(module: torch.nn.Module) -> list[tuple[Any, Any]]:
    """The containers of a module's parts, however deep, each with a copy of what is in it; see `put_back`."""
    found: dict[int, tuple[Any, Any]] = {}
    for child in module.modules():
        for name in _REGISTERED:
            found[id(vars(child)[name])] = (vars(child)[name], copy.copy(vars(child)[name]))
        for _, value in _own(child):
            for container in _containers(value):
                found[id(container)] = (container, copy.copy(container))
    return list(found.values())


def put_back(remembered: list[tuple[Any, Any]]) -> None:
    """Gives containers the content that they had."""
    for container, content in remembered:
        container.clear()
        container.extend(content) if isinstance(container, list | deque) else container.update(content)


def _own(module: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """The attributes that are not PyTorch's, and those of parameters."""
    for name, value in vars(module).items():
        if not name.startswith("_"):
            yield name, value
    for name, parameter in module.named_parameters(recurse=False):
        for attribute, value in vars(parameter).items():
            yield f"{name}_{attribute}", value


def _items(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list | tuple | deque | set | frozenset):
        yield from enumerate(value)


def _containers(value: Any, around: tuple[int, ...] = ()) -> Iterator[Any]:
    """A container and those in it; `around` are the ones that it is in, which may be in it as well."""
    if id(value) in around:
        return
    if isinstance(value, _CHANGEABLE):
        yield value
    for _, item in _items(value):
        yield from _containers(item, (*around, id(value)))


def _inside(value: Any, name: str, around: tuple[int, ...] = ()) -> Iterator[tuple[str, torch.Tensor]]:
    for key, item in _items(value) if id(value) not in around else ():
        inner = f"{name}_{key}".replace(".", "_")
        if isinstance(item, torch.Tensor):
            yield inner, item
        else:
            yield from _inside(item, inner, (*around, id(value)))
