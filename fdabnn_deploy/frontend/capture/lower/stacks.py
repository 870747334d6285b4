"""Tensors stacked in front of the batch, as `torch.stack(list)` makes: what follows is computed part by part."""

from __future__ import annotations

from typing import Any

import torch

from fdabnn_deploy.frontend.capture.lowering import LOWERINGS, PASS_THROUGH, ROWWISE, Lowering, times
from fdabnn_deploy.frontend.capture.traced_value import Stack, Tensor, Value, refuse
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.expression import Expression, literal

_JOINING: dict[str, type[ops.Op]] = {
    "sum": ops.Add,
    "mean": ops.Add,
    "amax": ops.Maximum,
    "max": ops.Maximum,
    "amin": ops.Maximum,
    "min": ops.Maximum,
}
_BY_VALUE = ROWWISE - {
    "view",
    "reshape",
    "_unsafe_view",
    "unflatten",
    "linear",
    "addmm",
    "mm",
    "matmul",
    "batch_norm",
    "_native_batch_norm_legit_no_training",
    "prelu",
    "zeros_like",
    "ones_like",
    "full_like",
}
"""Functions of each value, whose rules do not ask for a shape."""


def computed_by_parts(lowering: Lowering, node: torch.fx.Node, name: str, args: list[Any]) -> Any:
    """The result of a function of a stack: a tensor where the parts are joined, else a stack again.

    Raises:
        ModelRefusedError: the function does something else with the dimension in front.
    """
    size = next(len(arg.parts) for arg in args if isinstance(arg, Stack))
    first, settings = args[0], args[1:]
    if isinstance(first, Stack) and name in PASS_THROUGH:
        return first
    if isinstance(first, Stack) and name in _JOINING and settings and _dims(settings[0], first) == [0]:
        joined = _joined(lowering, name, first)
        result = Stack((joined,)) if len(settings) > 1 and settings[1] else joined
        return result if isinstance(node.meta["val"], torch.Tensor) else [result]
    if isinstance(first, Stack) and name in ("select", "slice", "unbind", "squeeze"):
        dim = int(settings[0]) if settings else 0
        if dim % first.rank == 0:
            return _picked(name, first, settings)
    if name in _BY_VALUE or (name in ("max", "min") and isinstance(settings[0], Stack | Tensor | Expression)):
        by_part = ([_part(arg, index, size, node) for arg in args] for index in range(size))
        return Stack(tuple(LOWERINGS[name](lowering, node, *given) for given in by_part))
    raise refuse(
        node,
        f"operator '{name}' on tensors that are stacked in front of the batch is not supported",
        "stack along another dimension, or add them up one by one",
    )


def _dims(dims: Any, stack: Stack) -> list[int] | None:
    if isinstance(dims, Stack | Tensor | Expression) or dims is None:
        return None
    return [int(dim) % stack.rank for dim in ([dims] if isinstance(dims, int) else dims)]


def _joined(lowering: Lowering, name: str, stack: Stack) -> Tensor:
    """The sum, mean, largest or smallest of the parts."""
    op, negative = _JOINING[name], name in ("amin", "min")
    parts = list(stack.parts)
    if negative:
        parts = [lowering.add(ops.Unary("neg"), [part], "neg") for part in parts]
    joined = parts[0]
    for part in parts[1:]:
        joined = lowering.add(op(), [joined, part], name)
    if negative:
        return lowering.add(ops.Unary("neg"), [joined], "neg")
    return times(lowering, joined, 1 / len(parts)) if name == "mean" else joined


def _picked(name: str, stack: Stack, settings: list[Any]) -> Any:
    if name == "unbind":
        return list(stack.parts)
    if name == "select":
        return stack.parts[int(settings[1])]
    if name == "squeeze":
        return stack.parts[0] if len(stack.parts) == 1 else stack
    return Stack(stack.parts[slice(*settings[1:])])


def _part(arg: Any, index: int, size: int, node: torch.fx.Node) -> Value | Any:
    """An operand of one part: constants broadcast against the whole stack."""
    if isinstance(arg, Stack):
        return arg.parts[index if len(arg.parts) > 1 else 0]
    if not isinstance(arg, Expression) or arg.value.ndim < node.meta["val"].dim():
        return arg
    return literal(arg.value[index if len(arg.value) == size else 0])
