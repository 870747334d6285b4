"""Finds tensors that are step functions: constant below, at and above one threshold of one other tensor.

    y = below where x < t,  at where x == t,  above where x > t

Signs are written in many ways (`torch.sign(x)`, `where(x > t, 1, -1)`, `2 * (x >= t).float() - 1`, `(x > 0).float() - (x < 0).float()`,
`y[y == 0] = 1` behind a sign, `sign(sign(x) + 0.1)`); all of them are such functions. So every pointwise operator on comparisons, signs
and constants is evaluated in the three regions by its own reference, and what was written how no longer matters. NaN has no region: a
comparison with it is false, and no exact graph lets it arrive at one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Array, Shape
from fdabnn_deploy.ir.ops.base import broadcast
from fdabnn_deploy.transforms.equal import SAME_FOR_ALL_CHANNELS

Source = tuple[str, ...]
"""One tensor, or two that stand for their difference `a - b`."""

Regions = tuple[Array | None, Array | None, Array | None]
"""Below, at and above the threshold; None where the value is not constant there."""

ITSELF: Array = np.array(np.nan)
"""Stands for the values of a region in which the tensor is what is compared, as behind `x[x == 0] = 1`."""


@dataclass(frozen=True, eq=False)
class Step:
    """A step function.

    Attributes:
        source: what is compared.
        threshold: with what, broadcast against the source; 0 for a difference.
        values: below, at and above the threshold, each broadcast against the result.
    """

    source: Source
    threshold: Array
    values: Regions

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for step functions of the same comparison."""
        threshold = np.asarray(self.threshold + np.float32(0))
        return (self.source, threshold.shape, threshold.tobytes())

    @property
    def around_zero(self) -> bool:
        """Whether it tells the sign of one tensor."""
        return len(self.source) == 1 and not np.any(self.threshold)

    def levels(self, shape: Shape) -> tuple[DoubleArray, DoubleArray, DoubleArray] | None:
        """The values per channel of a result of this shape; None where they vary within a channel or are not finite."""
        below, at, above = (None if value is None else _per_channel(value, shape) for value in self.values)
        return None if below is None or at is None or above is None else (below, at, above)


def find_steps(graph: Graph) -> dict[str, Step]:
    """Every tensor of the graph that is a step function, by its name."""
    return _Search(graph).complete


def outermost(graph: Graph) -> dict[str, Step]:
    """The step functions that something else than a step function reads, or that the graph returns."""
    search = _Search(graph)
    inner: set[str] = set()
    # Two masks may be compared with each other.
    compared = {source for step in search.found.values() for source in step.source}
    for node in reversed(list(graph)):
        readers = graph.consumers(node.name)
        swallowed = all(r.name in search.complete or r.name in inner for r in readers)
        if node.name in search.found and swallowed and node.name not in {*graph.outputs, *compared}:
            inner.add(node.name)
    return {name: step for name, step in search.complete.items() if name not in inner}


class _Search:
    """Follows step functions through a graph.

    Attributes:
        found: by tensor, with regions that are not constant among them.
        complete: those that are constant in all three.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.found: dict[str, Step] = {}
        self.complete: dict[str, Step] = {}
        for node in graph:
            step = self._step(node) if isinstance(node.op, SAME_FOR_ALL_CHANNELS) else None
            if step is None or all(value is None for value in step.values):
                continue
            shape = graph.shape(node.name)
            if self._compared_shape(step) == shape:
                self.found[node.name] = step
                if step.levels(shape) is not None:
                    self.complete[node.name] = step

    def _compared_shape(self, step: Step) -> Shape:
        """Of what is compared: a result of another shape cannot be made from its sign alone."""
        return broadcast(*(self.graph.shape(name) for name in step.source), step.threshold.shape)

    def _step(self, node: Node) -> Step | None:
        computed = [name for name in node.inputs if self.graph.constant(name) is None]
        known = [self.found[name] for name in computed if name in self.found]
        if len({step.key for step in known}) == 1:
            composed = self._composed(node, known[0])
            starts = isinstance(node.op, ops.TorchSign | ops.Compare)
            # What is constant in some regions only is no use where a step function of its own can begin.
            if composed is not None and not (starts and any(value is None for value in composed.values)):
                return composed
        if not computed:
            return None
        if isinstance(node.op, ops.TorchSign):
            return _regions(node, (computed[0],), np.zeros((), np.float32), self.graph.shape(node.name))
        if isinstance(node.op, ops.RoundToGrid):
            return self._rounded(node, node.op)
        return self._compared(node) if isinstance(node.op, ops.Compare) else None

    def _rounded(self, node: Node, op: ops.RoundToGrid) -> Step | None:
        """`round(clamp(x, 0, 1))`: 0 up to 1/2, which rounds to even, and 1 above."""
        clamp = self.graph[node.inputs[0]]
        if not isinstance(clamp.op, ops.Clamp) or (clamp.op.low, clamp.op.high, op.exponent) != (0.0, 1.0, 0):
            return None
        ones = np.ones((1,) * len(self.graph.shape(node.name)), dtype=np.float32)
        return Step((clamp.inputs[0],), np.full((), 0.5, np.float32), (0 * ones, 0 * ones, ones))

    def _composed(self, node: Node, first: Step) -> Step | None:
        """The operator in each region; None where it is constant in none."""
        values: list[Array | None] = []
        for region in range(3):
            operands = [self._operand(name, node, first, region) for name in node.inputs]
            values.append(_evaluated(node, operands, region, len(self.graph.shape(node.name))))
        if all(value is None for value in values):
            return None
        return Step(first.source, first.threshold, (values[0], values[1], values[2]))

    def _operand(self, name: str, node: Node, first: Step, region: int) -> Array | None:
        rank = len(self.graph.shape(node.name))
        constant = self.graph.constant(name)
        if constant is not None:
            return _ranked(constant.value, rank)
        step = self.found.get(name)
        if step is not None and step.key == first.key:
            value = step.values[region]
            return value if value is None or value is ITSELF else _ranked(value, rank)
        if first.around_zero and name == first.source[0]:
            return ITSELF if region != 1 else np.zeros((1,) * rank, dtype=np.float32)
        return None

    def _compared(self, node: Node) -> Step | None:
        """`x < t` with a constant t, or `a < b` with both computed."""
        a, b = node.inputs
        first, second = self.graph.constant(a), self.graph.constant(b)
        shape = self.graph.shape(node.name)
        if a == b:
            always = node.op.reference(*(np.zeros((1,) * len(shape), dtype=np.float32) for _ in node.inputs))
            return Step((a,), np.zeros((), np.float32), (always, always, always))
        if first is None and second is None:
            return _regions(node, (a, b), np.zeros((), np.float32), shape)
        constant = first or second
        assert constant is not None
        if not np.all(np.isfinite(constant.value)):
            return None
        return _regions(node, (a if first is None else b,), constant.value, shape, swapped=first is not None)


def _evaluated(node: Node, operands: list[Array | None], region: int, rank: int) -> Array | None:
    """An operator on the values of one region. A choice needs only what is chosen, a sign only the side of 0."""
    if isinstance(node.op, ops.TorchSign | ops.Compare) and _only_side_counts(operands):
        side = np.full((1,) * rank, region - 1, dtype=np.float32)
        operands = [side if operand is ITSELF else operand for operand in operands]
    if isinstance(node.op, ops.Where) and operands[0] is not None:
        condition = operands[0]
        if np.all(condition):
            return operands[1]
        if not np.any(condition):
            return operands[2]
    known = [operand for operand in operands if operand is not None]
    if len(known) < len(operands) or any(operand is ITSELF for operand in known):
        return None
    if not isinstance(node.op, ops.Compare | ops.Logical | ops.LogicalNot | ops.Where | ops.ToFloat):
        known = [operand.astype(np.float32) for operand in known]
    with np.errstate(all="ignore"):
        return node.op.reference(*known)


def _only_side_counts(operands: list[Array | None]) -> bool:
    """Whether what is compared stands alone or against 0."""
    others = [operand for operand in operands if operand is not ITSELF]
    return len(others) < len(operands) and all(other is not None and not np.any(other) for other in others)


def _regions(node: Node, source: Source, threshold: Array, shape: Shape, swapped: bool = False) -> Step:
    """A sign or comparison itself, at values below, at and above a threshold."""
    one = np.ones((1,) * len(shape), dtype=np.float32)
    values = []
    for x in (-one, 0 * one, one):
        operands: tuple[Array, ...] = (x,) if isinstance(node.op, ops.TorchSign) else (x, 0 * one)
        values.append(node.op.reference(*(operands[::-1] if swapped else operands)))
    return Step(source, threshold, (values[0], values[1], values[2]))


def _ranked(value: Array, rank: int) -> Array:
    return value.reshape((1,) * (rank - value.ndim) + value.shape)


def _per_channel(value: Array, shape: Shape) -> DoubleArray | None:
    if len(shape) < 2 or not np.all(np.isfinite(value)):
        return None
    array = _ranked(np.asarray(value), len(shape)).astype(np.float64)
    if array.size not in (1, shape[1]) or array.shape[1] != array.size:
        return None
    return np.array(np.broadcast_to(array.reshape(-1), shape[1]))
