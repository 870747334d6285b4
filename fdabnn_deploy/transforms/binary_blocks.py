"""Puts every binary layer together with its sign and its epilogue: one `BinaryBlock`.

    sign -> BinaryConv2d or BinaryLinear -> any of PRelu, Affine, Clamp, a shortcut    =    BinaryBlock

An epilogue ends where somebody else reads a value too, or the graph returns it. For converters whose format has such a layer; the graph
of standard operators, in the order in which the network computes them, is `fdabnn_deploy.ir.composites.decompose` of it.
"""

from __future__ import annotations

from fdabnn_deploy.ir.composites import BinaryBlock
from fdabnn_deploy.ir.composites.binary_block import EPILOGUE
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Add, BinaryConv2d, BinaryLinear, Clamp, Constant, RoundToGrid, Sign
from fdabnn_deploy.transforms.base import Outcome


def binary_blocks(graph: Graph) -> Outcome:
    """The graph with its binary layers as blocks; see `fdabnn_deploy.transforms.base.Pass`."""
    blocks: dict[str, Node] = {}
    inside: set[str] = set()
    # The sum of two layers belongs to the one behind, to which the other is a shortcut.
    for node in reversed(graph.nodes_of(BinaryConv2d, BinaryLinear)):
        parts = _parts(graph, node, inside)
        block = BinaryBlock(parts)
        last = parts[-1]
        blocks[last.name] = Node(
            last.name, block, block.operands, node.module, node.source, node.text, last.trained
        )
        inside |= {part.name for part in parts if not isinstance(part.op, Sign)}
    nodes = [blocks.get(node.name, node) for node in graph if node.name in blocks or node.name not in inside]
    read = {name for node in nodes for name in node.inputs} | set(graph.outputs)
    kept = [node for node in nodes if not isinstance(node.op, Sign) or node.name in read]
    return Outcome(Graph(kept, graph.outputs), len(blocks))


def _parts(graph: Graph, layer: Node, taken: set[str]) -> tuple[Node, ...]:
    """Sign, layer and epilogue, without what other blocks have taken."""
    source = graph[layer.inputs[0]]
    parts = [source, layer] if isinstance(source.op, Sign) else [layer]
    while (follower := _follower(graph, parts[-1].name)) is not None:
        second = isinstance(follower.op, Add) and any(isinstance(part.op, Add) for part in parts)
        if second or follower.name in taken:
            break
        parts.append(follower)
    return tuple(parts)


def _follower(graph: Graph, name: str) -> Node | None:
    """The one reader of a tensor, where it is a step of an epilogue."""
    readers = graph.consumers(name)
    if len(readers) != 1 or name in graph.outputs or not isinstance(readers[0].op, EPILOGUE):
        return None
    (reader,) = readers
    behind = graph.consumers(reader.name)
    if isinstance(reader.op, Clamp) and any(isinstance(other.op, RoundToGrid) for other in behind):
        # The limits of a fixed-point format belong to the rounding.
        return None
    if isinstance(reader.op, Add):
        others = [other for other in reader.inputs if other != name]
        # A shortcut that would have to be repeated, or is a constant, is none.
        if len(others) != 1 or isinstance(graph[others[0]].op, Constant):
            return None
        if graph.shape(others[0]) != graph.shape(reader.name):
            return None
    return reader
