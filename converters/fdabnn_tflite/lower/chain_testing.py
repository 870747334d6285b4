"""Graphs of operators in a row, for the tests of this package."""

from __future__ import annotations

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Input, Op


def chain(shape: tuple[int, ...], *ops: Op, outputs: tuple[str, ...] = ()) -> Graph:
    """x -> ops in a row, named y0, y1, ..."""
    nodes = [Node("x", Input(shape))]
    for i, op in enumerate(ops):
        nodes.append(Node(f"y{i}", op, (nodes[-1].name,)))
    return Graph(nodes, outputs or [nodes[-1].name])
