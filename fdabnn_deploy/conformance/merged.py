"""Many small graphs as one, for tools that take seconds to convert or load a file of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fdabnn_deploy.ir.graph import Graph


def merged(graphs: Mapping[str, Graph]) -> Graph:
    """The graphs side by side: inputs and outputs one graph after the other, tensor t of graph g called `g/t`."""
    nodes = [
        replace(node, name=f"{key}/{node.name}", inputs=tuple(f"{key}/{name}" for name in node.inputs))
        for key, graph in graphs.items()
        for node in graph
    ]
    return Graph(nodes, [f"{key}/{name}" for key, graph in graphs.items() for name in graph.outputs])
