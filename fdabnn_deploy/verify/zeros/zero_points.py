"""The value at which a sign is 0, carried back to where it comes from: `sign(0.7 x - 0.21)` is 0 at x = 0.3."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import FloatArray

_SAME = (ops.MaxPool2d, ops.AvgPool2d, ops.GlobalAvgPool)
"""Operators whose result is z where all their operands are z."""


@dataclass(frozen=True, eq=False)
class ZeroPoint:
    """Where a tensor has to be what, so that a sign behind it is 0.

    Attributes:
        tensor: an input of the graph, or what a layer, a sum or another operator makes.
        values: per channel; NaN where no value gives 0.
    """

    tensor: str
    values: FloatArray


def zero_point(graph: Graph, name: str) -> ZeroPoint:
    """Follows the operand `name` of a sign back through scales, offsets, pools and clamps.

    Behind a ReLU or a clamp that ends at the value, every value on one side gives 0: there the way ends. Values of binary layers are
    rounded to the integer that they can be.
    """
    values: DoubleArray = np.zeros(graph.shape(name)[1])
    while True:
        node = graph[name]
        op = node.op
        if isinstance(op, ops.Affine):
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(op.scale == 0, np.nan, (values - op.offset) / op.scale)
        elif isinstance(op, ops.Clamp):
            if np.any((values == op.low) | (values == op.high)):
                break
            values = np.where((values < op.low) | (values > op.high), np.nan, values)
        elif not isinstance(op, _SAME):
            break
        name = node.inputs[0]
    if isinstance(graph[name].op, ops.BinaryConv2d | ops.BinaryLinear):
        values = np.round(values)
    return ZeroPoint(name, values.astype(np.float32))
