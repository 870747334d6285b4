"""Rules for assignments to a part of a tensor, such as `out[:, :8] = x`: pieces of one dimension put together."""

from __future__ import annotations

from typing import Any

import torch

from fdabnn_deploy.frontend.capture.lower.shape import concat, cut
from fdabnn_deploy.frontend.capture.lowering import Lowering, as_value, lowers
from fdabnn_deploy.frontend.capture.traced_value import Tensor, Value, refuse, scalar_of
from fdabnn_deploy.ir.expression import Expression
from fdabnn_deploy.ir.ops import Pad, Reshape


@lowers("slice_scatter")
def slice_scatter(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Value,
    part: Value,
    dim: int = 0,
    begin: Any = None,
    end: Any = None,
    step: int = 1,
) -> Value:
    """`x[..., begin:end, ...] = part`."""
    size = int(node.meta["val"].shape[dim])
    begin, end, step = slice(begin, end, step).indices(size)
    return _replaced(lowering, node, x, part, dim, begin, end, step)


@lowers("select_scatter")
def select_scatter(
    lowering: Lowering, node: torch.fx.Node, x: Value, part: Value, dim: int, index: int
) -> Value:
    """`x[..., index, ...] = part`."""
    shape = [int(d) for d in node.meta["val"].shape]
    dim, index = dim % len(shape), index % shape[dim]
    if isinstance(part, Tensor) and dim:
        shape[dim] = 1
        part = lowering.add(Reshape(tuple(shape[1:])), [part], "reshape")
    return _replaced(lowering, node, x, part, dim, index, index + 1, 1)


def _replaced(
    lowering: Lowering,
    node: torch.fx.Node,
    x: Value,
    part: Value,
    dim: int,
    begin: int,
    end: int,
    step: int,
) -> Value:
    shape = node.meta["val"].shape
    dim %= len(shape)
    size = int(shape[dim])
    if (begin, end, step) == (0, size, 1):
        return part
    if dim == 0 or step != 1 or not isinstance(part, Tensor):
        raise refuse(
            node,
            "assigning to every other slice, to some images, or a constant to a part of an activation is not supported",
            "join the pieces with torch.cat, or write torch.where(mask, a, b)",
        )
    if isinstance(x, Expression):
        fill = scalar_of(as_value(x))
        if fill is None:
            raise refuse(
                node,
                "assigning to a part of a constant that varies is not supported",
                "start from torch.zeros_like(x)",
            )
        pads = tuple((begin, size - end) if axis == dim else (0, 0) for axis in range(1, len(shape)))
        return lowering.add(Pad(pads, fill), [part], "pad")
    pieces: list[Value] = [part]
    if begin:
        pieces.insert(0, cut(lowering, node, x, dim, 0, begin))
    if end < size:
        pieces.append(cut(lowering, node, x, dim, end, size))
    joined: Tensor = concat(lowering, node, pieces, dim)
    return joined
