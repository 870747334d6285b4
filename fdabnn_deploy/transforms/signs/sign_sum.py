"""Activations that are sums of signs, such as ternary ones with two thresholds.

`(x > d) - (x < -d)` takes the values -1, 0 and +1: it is `(Sign(x - d) - Sign(-d - x)) / 2`. In general, with integers c,

    h (c_1 s_1 + c_2 s_2 + ...) + o
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Add, Affine, Sign, Sub

_LARGEST = 128
"""Coefficient, as that of the highest of 8 bits."""


@dataclass(frozen=True)
class SignSum:
    """A tensor made of signs.

    Attributes:
        terms: the signs, each with its c.
        scale: h.
        offset: o.
    """

    terms: tuple[tuple[Node, int], ...]
    scale: float
    offset: float


def sign_sum(graph: Graph, node: Node) -> SignSum | None:
    """A sum of several signs, with scales and offsets that are the same for all channels; None for everything else."""
    found: dict[str, float] = {}
    offset = _collect(graph, node, 1.0, found)
    if offset is None or len(found) < 2 or not all(found.values()):
        return None
    unit = min(map(abs, found.values()))
    factors = {name: value / unit for name, value in found.items()}
    # Scales that float32 has rounded are no exact multiples, and exact ones alone add up to what the network computes.
    if any(factor != round(factor) or abs(factor) > _LARGEST for factor in factors.values()):
        return None
    return SignSum(tuple((graph[name], int(factor)) for name, factor in factors.items()), unit, offset)


def _collect(graph: Graph, node: Node, scale: float, found: dict[str, float]) -> float | None:
    """Adds the signs of a tensor times a scale to those that were found, and returns its offset; None where it is made of more."""
    op = node.op
    if isinstance(op, Sign):
        found[node.name] = found.get(node.name, 0.0) + scale
        return 0.0
    if isinstance(op, Affine):
        if np.ptp(op.scale) or np.ptp(op.offset):
            return None
        inner = _collect(graph, graph[node.inputs[0]], scale * float(op.scale[0]), found)
        return None if inner is None else inner + scale * float(op.offset[0])
    if isinstance(op, Add | Sub) and graph.shape(node.inputs[0]) == graph.shape(node.inputs[1]):
        first = _collect(graph, graph[node.inputs[0]], scale, found)
        second = _collect(graph, graph[node.inputs[1]], -scale if isinstance(op, Sub) else scale, found)
        return None if first is None or second is None else first + second
    return None
