"""Computing the tensors of a graph in order, with no more of them in memory than are still read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Input

T = TypeVar("T")


def compute_tensors(
    graph: Graph, inputs: Mapping[str, T], compute: Callable[[Node, Sequence[T]], T], keep: Collection[str]
) -> dict[str, T]:
    """The tensors to keep, by name; every other one is freed behind its last reader.

    Args:
        graph: any graph.
        inputs: the values of its inputs, by name.
        compute: a node's value from those that it reads.
        keep: names.
    """
    kept, values = set(keep), dict(inputs)
    waiting = {node.name: len(graph.consumers(node.name)) for node in graph}
    for node in graph:
        if isinstance(node.op, Input):
            continue
        values[node.name] = compute(node, [values[name] for name in node.inputs])
        for name in dict.fromkeys(node.inputs):
            waiting[name] -= 1
            if not waiting[name] and name not in kept:
                del values[name]
    return values
