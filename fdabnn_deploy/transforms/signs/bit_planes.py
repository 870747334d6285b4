"""Activations of a few bits as signs: one per bit.

A quantiser `h round(s clamp(x) + t) + o` takes the values `h q + o`, with q one of `2^k` integers from `low` on. The bits of `q - low` are
signs, from the highest to the lowest:

    b = (q - low - what the higher bits make >= 2^i) = (Sign(q - low - ... - (2^i - 1/2)) + 1) / 2

All of this is exact: integers and halves. So `h q + o = sum_i h 2^(i-1) s_i + (h (2^k - 1) / 2 + h low + o)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Affine, Clamp, Op, Relu, RoundToGrid, Sign, Sub

MOST_BITS = 8


@dataclass(frozen=True)
class BitPlanes:
    """A tensor of `2^bits` evenly spaced values.

    Attributes:
        rounded: the node whose values are the integers q.
        bits: k.
        low: the smallest q.
        scale: h.
        offset: o.
    """

    rounded: Node
    bits: int
    low: int
    scale: float
    offset: float

    @property
    def middle(self) -> float:
        """The mean of the smallest and the largest value: what is added to the signs."""
        return float(self.scale * (self.low + (2**self.bits - 1) / 2) + self.offset)


def bit_planes(graph: Graph, node: Node) -> BitPlanes | None:
    """A quantiser of up to `MOST_BITS` bits, the same for all channels; None for everything else."""
    scale, offset, rounded = 1.0, 0.0, node
    if isinstance(node.op, Affine):
        parameters = _uniform(node.op)
        if parameters is None:
            return None
        (scale, offset), rounded = parameters, graph[node.inputs[0]]
    if not isinstance(rounded.op, RoundToGrid) or rounded.op.exponent != 0 or not scale:
        return None
    limits = _limits(graph, graph[rounded.inputs[0]])
    if limits is None:
        return None
    low, high = (int(np.rint(np.float32(limit))) for limit in limits)
    bits = (high - low).bit_length()
    fits = 1 <= bits <= MOST_BITS and high - low + 1 == 2**bits
    return BitPlanes(rounded, bits, low, scale, offset) if fits else None


def signs_of_bits(editor: Editor, graph: Graph, planes: BitPlanes) -> list[tuple[str, int]]:
    """The names of the signs, the highest first, each with its `2^i`; they are made where they are not there yet."""
    node = planes.rounded
    channels = graph.shape(node.name)[1]

    def line(scale: float, offset: float) -> Affine:
        return Affine(np.full(channels, float(scale)), np.full(channels, float(offset)))

    def add(part: str, op: Op, *inputs: str) -> str:
        name = f"{node.name}_{part}"
        if name not in editor:
            editor.add(Node(name, op, inputs, node.module, node.source, node.text), near=node.name)
        return name

    rest, signs = add("from_zero", line(1.0, -planes.low), node.name), []
    for i in reversed(range(planes.bits)):
        shifted = add(f"over{i}", line(1.0, 0.5 - 2**i), rest)
        signs.append((add(f"bit{i}", Sign(), shifted), 2**i))
        if i:
            taken = add(f"taken{i}", line(2.0 ** (i - 1), 2.0 ** (i - 1)), signs[-1][0])
            rest = add(f"rest{i}", Sub(), rest, taken)
    return signs


def _uniform(op: Affine) -> tuple[float, float] | None:
    if np.ptp(op.scale) or np.ptp(op.offset):
        return None
    return float(op.scale[0]), float(op.offset[0])


def _limits(graph: Graph, node: Node) -> tuple[float, float] | None:
    """The limits of a clamp, carried through affines that are the same for all channels."""
    if isinstance(node.op, Clamp):
        return (node.op.low, node.op.high) if np.isfinite([node.op.low, node.op.high]).all() else None
    if isinstance(node.op, Affine):
        parameters, inner = _uniform(node.op), _limits(graph, graph[node.inputs[0]])
        if parameters is None or inner is None:
            return None
        first, second = (limit * parameters[0] + parameters[1] for limit in inner)
        return min(first, second), max(first, second)
    if isinstance(node.op, Relu):
        inner = _limits(graph, graph[node.inputs[0]])
        return None if inner is None else (max(inner[0], 0.0), max(inner[1], 0.0))
    return None
