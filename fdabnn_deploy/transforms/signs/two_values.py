"""Tensors that take two values: `h Sign(x) + o`, with h and o per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Add, Affine, Sign, TorchSign


@dataclass(frozen=True, eq=False)
class TwoValues:
    """`scale * sign + offset`.

    Attributes:
        sign: the node of the sign.
        scale: float64 [C].
        offset: float64 [C].
    """

    sign: Node
    scale: DoubleArray
    offset: DoubleArray

    @property
    def uniform(self) -> bool:
        """Whether all channels take the same two values."""
        return not np.ptp(self.scale) and not np.ptp(self.offset) and self.scale[0] != 0


def two_values(graph: Graph, node: Node) -> TwoValues | None:
    """A sign, an affine of one, or the sum of two affines of one (`canonical_sign`); None for everything else."""
    if isinstance(node.op, Sign | TorchSign):
        channels = graph.shape(node.name)[1]
        return TwoValues(node, np.ones(channels), np.zeros(channels))
    if isinstance(node.op, Affine):
        sign = graph[node.inputs[0]]
        return (
            TwoValues(sign, node.op.scale, node.op.offset) if isinstance(sign.op, Sign | TorchSign) else None
        )
    if isinstance(node.op, Add):
        first, second = (
            two_values(graph, graph[name]) if isinstance(graph[name].op, Affine) else None
            for name in node.inputs
        )
        if first is not None and second is not None and first.sign.name == second.sign.name:
            return TwoValues(first.sign, first.scale + second.scale, first.offset + second.offset)
    return None
