"""Small graphs for the tests of passes, and the check that a pass changes no value."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Constant, FloatArray, Input, Op
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.base import Outcome, Pass


class Build:
    """Builds a graph line by line; `x` is its input."""

    def __init__(self, *shape: int) -> None:
        self.nodes = [Node("x", Input(shape))]

    def __call__(self, op: Op, *inputs: str) -> str:
        """Adds a node and returns its name."""
        name = f"{op.kind.lower()}{len(self.nodes)}"
        self.nodes.append(Node(name, op, inputs, module=f"m{len(self.nodes)}"))
        return name

    def constant(self, value: object) -> str:
        """Adds a float32 constant."""
        return self(Constant(np.asarray(value, dtype=np.float32)))

    def graph(self, *outputs: str) -> Graph:
        """The graph that returns these tensors."""
        return Graph(self.nodes, outputs)


def images(graph: Graph, seed: int = 0) -> FloatArray:
    """Normal values with some exact zeros of both signs among them."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(3, *graph.shape("x")[1:])).astype(np.float32)
    x[generator.random(x.shape) < 0.1] = 0.0
    x[generator.random(x.shape) < 0.1] = -0.0
    return x


def check(rewrite: Pass, graph: Graph, applied: int, ulps: int = 0) -> Outcome:
    """Runs a pass, checks how often it applied and that the outputs stay the same within `ulps` units in the last place."""
    outcome = rewrite(graph)
    assert outcome.applied == applied
    x = images(graph)
    for before, after in zip(evaluate(graph, [x]), evaluate(outcome.graph, [x]), strict=True):
        np.testing.assert_array_max_ulp(np.asarray(before + 0.0), np.asarray(after + 0.0), ulps)
    return outcome


def kinds(graph: Graph) -> list[str]:
    """The kinds of a graph's operators in order."""
    return [node.op.kind for node in graph]
