"""Tells operators that compute the same: of one kind, with equal attributes, on the same tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Op

SAME_FOR_ALL_CHANNELS = (
    ops.Add,
    ops.Clamp,
    ops.Compare,
    ops.Div,
    ops.Logical,
    ops.LogicalNot,
    ops.Maximum,
    ops.Mul,
    ops.Relu,
    ops.RoundToGrid,
    ops.Sub,
    ops.ToFloat,
    ops.TorchSign,
    ops.Unary,
    ops.Where,
)
"""Pointwise operators that have no parameters per channel of their own."""

_POINTWISE = (*SAME_FOR_ALL_CHANNELS, ops.Affine, ops.Constant, ops.PRelu)


def operator_key(op: Op, inputs: Sequence[str]) -> tuple[object, ...]:
    """Equal for operators that compute the same from these tensors."""
    values = [
        (value.shape, value.dtype.str, value.tobytes()) if isinstance(value, np.ndarray) else value
        for value in op.attributes().values()
    ]
    return (type(op), tuple(inputs), *values)


def first_equal(graph: Graph) -> dict[str, str]:
    """Per tensor the first one that pointwise operators make in the same way from the same tensors: itself where there is none before."""
    first: dict[str, str] = {}
    made: dict[tuple[object, ...], str] = {}
    for node in graph:
        first[node.name] = node.name
        if isinstance(node.op, _POINTWISE):
            key = operator_key(node.op, [first[name] for name in node.inputs])
            first[node.name] = made.setdefault(key, node.name)
    return first
