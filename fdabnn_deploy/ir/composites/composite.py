"""The base of composite operators, and the graph of standard operators that a graph with composites stands for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.ir.ops.base import TorchKernel


@dataclass(frozen=True, eq=False)
class Composite(Op):
    """An operator that standard operators make up; `reference` is its formula, which `decompose` has to give bit for bit."""

    @property
    def operands(self) -> tuple[str, ...]:
        """Names of the operands."""
        return ("x",)

    @abstractmethod
    def decompose(self, node: Node) -> tuple[Node, ...]:
        """The standard operators of a node that has this operator.

        Args:
            node: names the operands and the result.

        Returns:
            Nodes in topological order, the last one under the node's name. Two composites that share a node, such as the sign that two
            layers read, give it under one name.
        """

    def torch_kernel(self, rank: int) -> TorchKernel:
        """The standard operators one after the other; each of them keeps the rank of its operands."""
        names = self.operands
        nodes = self.decompose(Node("result", self, names))
        kernels = [node.op.torch_kernel(rank) for node in nodes]

        def compute(*operands: object) -> object:
            values = dict(zip(names, operands, strict=True))
            for node, kernel in zip(nodes, kernels, strict=True):
                values[node.name] = kernel(*(values[name] for name in node.inputs))
            return values["result"]

        return compute


def decompose(graph: Graph) -> Graph:
    """The graph of standard operators that a graph with composites stands for; every tensor of the latter keeps its name."""
    if not any(isinstance(node.op, Composite) for node in graph):
        return graph
    return Graph(_standard(graph), graph.outputs)


def _standard(graph: Graph) -> Iterator[Node]:
    made: dict[str, Node] = {}
    for node in graph:
        if not isinstance(node.op, Composite):
            made[node.name] = node
            yield node
            continue
        for part in node.op.decompose(node):
            shared = made.get(part.name)
            if shared is None or shared.op is not part.op:
                made[part.name] = part
                yield part
