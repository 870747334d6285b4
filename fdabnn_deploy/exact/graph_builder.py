"""The exact graph under construction: its nodes so far, with bounds of every tensor and, where there are samples, its values.

The graph is built in the order of computation, so the samples have gone through the exact operators before: what they show is the same on
every machine and for any number of threads, and so is everything chosen from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.plan import Observed
from fdabnn_deploy.ir.composites import ExactLayer
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Array, Clamp, GraphError, Input, Op, Shape, Sign
from fdabnn_deploy.ir.ranges import Values
from fdabnn_deploy.runtimes.torch_graph import run_operator

UNSEEN_INPUT = 16.0
"""Limit of an input that nobody knows anything of: normalised images stay far below."""


class GraphBuilder:
    """Builds the exact graph, operator by operator.

    Args:
        graph: the float graph that it replaces.
        samples: one array [N, ...] per input, or none.
        ranges: recorded (smallest, largest) values by module path; may be empty.
    """

    def __init__(
        self, graph: Graph, samples: Sequence[Array], ranges: Mapping[str, tuple[float, float]]
    ) -> None:
        self.graph = graph
        self._ranges = ranges
        self._nodes: list[Node] = []
        self._made: dict[str, Node] = {}
        self._shapes: dict[str, Shape] = {}
        self._bounds: dict[str, Values] = {}
        self._samples: dict[str, Array] = {}
        self._fed = dict(zip(graph.inputs, samples, strict=True)) if samples else {}
        self._last_of_module = {node.module: node.name for node in graph if node.module}
        self._waiting = {node.name: len(graph.consumers(node.name)) for node in graph}
        self._substitute: dict[str, str] = {}
        self._before_sign: set[str] = set()
        for node in reversed(list(graph)):
            if isinstance(node.op, Sign) or node.name in self._before_sign:
                self._before_sign.update(node.inputs)

    def name(self, original: str) -> str:
        """The tensor that stands for a tensor of the float graph."""
        return self._substitute.get(original, original)

    def stand_in(self, original: str, name: str) -> None:
        """Makes every later reader of a tensor read another one."""
        self._substitute[original] = name

    def op(self, name: str) -> Op:
        """The standard operator that makes a tensor of the exact graph."""
        op = self._made[name].op
        return op.last if isinstance(op, ExactLayer) else op

    def op_before(self, name: str) -> Op | None:
        """The operator that makes the first operand of the one that makes a tensor; None where it has none."""
        inputs = self._made[name].inputs
        return self.op(inputs[0]) if inputs else None

    def bounds(self, name: str) -> Values:
        """Proven bounds of a tensor of the exact graph."""
        return self._bounds[name]

    def shape(self, name: str) -> Shape:
        """Its shape."""
        return self._shapes[name]

    def feed(self, node: Node, bounds: Values) -> None:
        """Adds a graph input."""
        self._append(node, bounds)
        if node.name in self._fed:
            self._samples[node.name] = self._fed.pop(node.name)

    def add(self, origin: Node, op: Op, inputs: Sequence[str], part: str = "") -> str:
        """Adds an operator and returns the name of its tensor.

        Args:
            origin: node of the float graph that it belongs to.
            op: the operator.
            inputs: names in the exact graph.
            part: empty for the operator that makes the origin's own tensor, else what this tensor is of it.
        """
        name = f"{origin.name}/{part}" if part else origin.name
        count = 1
        while name in self._made or (part and name in self.graph):
            count += 1
            name = f"{origin.name}/{part}{count}"
        shapes = [self._shapes[i] for i in inputs]
        trained = "" if part else origin.trained
        node = Node(name, op, tuple(inputs), origin.module, origin.source, origin.text, trained)
        self._append(node, op.bounds([self._bounds[i] for i in inputs], shapes, op.infer(*shapes)))
        if all(i in self._samples for i in inputs):
            self._samples[name] = run_operator(op, [self._samples[i] for i in inputs])
        return name

    def barrier(self, node: Node, name: str, above: float) -> str:
        """Adds a fusion barrier: a clamp that changes no value, so that no runtime folds what follows into the layer in front.

        A limit below all values does. Limits are powers of two from 8 on, which no runtime has an activation for.

        Args:
            node: of the float graph that it belongs to.
            name: of the tensor.
            above: infinite, or 1 for an upper limit as well.
        """
        limit = 2.0 ** max(3, math.frexp(self.bounds(name).magnitude)[1])
        return self.add(node, Clamp(-limit, above * limit), [name], "held")

    def done(self, node: Node) -> None:
        """Frees the samples that nothing reads after this node of the float graph."""
        for original in dict.fromkeys(node.inputs):
            self._waiting[original] -= 1
        needed = {self.name(original) for original, count in self._waiting.items() if count}
        for name in [name for name in self._samples if name not in needed]:
            del self._samples[name]

    def _append(self, node: Node, bounds: Values) -> None:
        self._nodes.append(node)
        self._made[node.name] = node
        self._shapes[node.name] = node.op.infer(*(self._shapes[i] for i in node.inputs))
        self._bounds[node.name] = bounds

    def observed(self, original: str) -> Observed:
        """Statistics of a tensor: on the samples and, for a module's last tensor, in training; else its proven bounds."""
        bounds = self._bounds[self.name(original)]
        found = []
        values = self._samples.get(self.name(original))
        power = None
        if values is not None:
            finite = values[np.isfinite(values)].astype(np.float64)
            if finite.size:
                found.append((float(finite.min()), float(finite.max())))
                power = float(np.mean(np.square(finite)))
        node = self.graph[original]
        path = "input" if isinstance(node.op, Input) else node.module
        if path in self._ranges and self._last_of_module.get(path, original) == original:
            found.append(self._ranges[path])
        if not found and isinstance(node.op, Input):
            found.append((-UNSEEN_INPUT, UNSEEN_INPUT))
        elif not found:
            found.append((float(bounds.low.min()), float(bounds.high.max())))
        low, high = min(pair[0] for pair in found), max(pair[1] for pair in found)
        # Values spread over a third of their range, where nobody saw any.
        return Observed(low, high, (max(abs(low), abs(high)) / 3) ** 2 if power is None else power)

    def leads_to_sign(self, original: str) -> bool:
        """Whether a sign depends on a tensor of the float graph."""
        return original in self._before_sign

    def has_range(self, path: str) -> bool:
        """Whether a range was recorded for a module path."""
        return path in self._ranges

    def clipped(self, name: str, low: float, high: float) -> float | None:
        """The share of a tensor's sample values beyond limits, or None without samples."""
        values = self._samples.get(name)
        return None if values is None else float(np.mean((values < low) | (values > high)))

    def finish(self) -> Graph:
        """The exact graph.

        Raises:
            ModelRefusedError: it breaks a rule of graphs.
        """
        try:
            return Graph(self._nodes, [self.name(name) for name in self.graph.outputs])
        except GraphError as error:
            raise ModelRefusedError(f"the exact graph is broken: {error}") from None
