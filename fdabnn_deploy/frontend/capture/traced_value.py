"""The values that capture computes with, and how it reads a node of the exported program."""

from __future__ import annotations

import linecache
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.expression import Expression

CAPTURE_BATCH = 2
"""Images in the example that is traced: more than one, so that the batch dimension shows."""


@dataclass(frozen=True)
class Tensor:
    """An activation.

    Attributes:
        name: of its tensor in the graph.
        shape: as traced, the batch included.
        refused: it is the result of an operator that cannot be deployed, and no rule applies to it.
        rows: how many rows [N rows, C] each image has become, as `x.view(-1, C)` makes of tokens; 0 for other tensors. In the graph they
            are an image [N, C, rows, 1].
    """

    name: str
    shape: tuple[int, ...]
    refused: bool = False
    rows: int = 0


@dataclass(frozen=True)
class Stack:
    """Activations [N, ...] that were stacked in front of the batch: [parts, N, ...], which no tensor of the graph is."""

    parts: tuple[Tensor, ...]

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return len(self.parts[0].shape) + 1


Value = Tensor | Expression

KEYWORDS_THAT_COUNT = frozenset({"correction", "keepdim", "rounding_mode", "approximate"})
"""Keyword-only arguments that change values; dtype, device and layout do not (everything computes in float32)."""


def function_name(target: Any) -> str:
    """`aten.conv2d.default` -> `conv2d`; a trailing underscore (in-place) is dropped."""
    name = (
        target._schema.name.split("::")[1] if isinstance(target, torch._ops.OpOverload) else target.__name__
    )
    return str(name).rstrip("_") or str(name)


def arguments(node: torch.fx.Node) -> list[Any]:
    """The arguments in the order of the ATen schema, defaults filled in; of the keyword-only ones those that count."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return list(node.args)
    values: list[Any] = []
    for position, argument in enumerate(target._schema.arguments):
        if argument.kwarg_only:
            if argument.name in KEYWORDS_THAT_COUNT:
                values.append(node.kwargs.get(argument.name, argument.default_value))
        elif position < len(node.args):
            values.append(node.args[position])
        else:
            values.append(node.kwargs.get(argument.name, argument.default_value))
    return values


def module_path(node: torch.fx.Node) -> str:
    """The path of the module whose forward made this node, "" for the outermost."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [entry[0] for entry in stack.values()]
    return re.sub(r"@\d+$", "", str(paths[-1])) if paths else ""


def source_line(node: torch.fx.Node) -> str:
    """`file:line` of the innermost statement outside PyTorch's own modules."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if f"{Path('torch') / 'nn'}" not in frame[0]]
    if not own:
        return ""
    path, line = own[-1]
    return f"{Path(path).name}:{line}"


def source_text(node: torch.fx.Node) -> str:
    """The statement at `source_line`, for messages."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace") or "")
    own = [frame for frame in frames if f"{Path('torch') / 'nn'}" not in frame[0]]
    return linecache.getline(own[-1][0], int(own[-1][1])).strip() if own else ""


def refuse(node: torch.fx.Node, what: str, remedy: str) -> ModelRefusedError:
    """The error for an operator that cannot be captured: what, where in the model, where in the source, and the remedy."""
    where = module_path(node) or "the model itself"
    line, text = source_line(node), source_text(node)
    source = f" at {line}" if line else ""
    quoted = f" (`{text}`)" if text else ""
    return ModelRefusedError(f"{what} in module '{where}'{source}{quoted}; {remedy}")


def is_random(node: torch.fx.Node) -> bool:
    """Whether a call draws random numbers."""
    tags = node.target.tags if isinstance(node.target, torch._ops.OpOverload) else ()
    return torch.Tag.nondeterministic_seeded in tags


def refuse_random(node: torch.fx.Node, function: str) -> ModelRefusedError:
    """The error for a call that draws random numbers."""
    return refuse(
        node,
        f"'{function}' makes random numbers, others at every call,",
        "leave it out in eval mode (if self.training: ...), or draw them once and keep them as a buffer",
    )


def scalar_of(value: Value | float) -> float | None:
    """The number that a constant holds everywhere, or None where it varies or is an activation."""
    if isinstance(value, Tensor):
        return None
    if isinstance(value, Expression):
        flat = np.unique(value.value)
        return float(flat[0]) if flat.size == 1 else None
    return float(value)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """A size given once or per axis, as two numbers."""
    if isinstance(value, int):
        return (value, value)
    listed = [int(v) for v in value]
    return (listed[0], listed[-1])


def writes(node: torch.fx.Node) -> bool:
    """Whether a node of a program writes into a tensor that it reads."""
    return isinstance(node.target, torch._ops.OpOverload) and bool(node.target._schema.is_mutable)
