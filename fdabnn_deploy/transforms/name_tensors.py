"""Gives tensors their final names: `input`, `output`, and `<module path>/<what it is>` for the rest.

The names are those that users see in exported files and reports. They depend on the network alone, never on counters of a run.
"""

from __future__ import annotations

from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, BinaryLinear, Input
from fdabnn_deploy.transforms.base import Outcome

_KINDS = {BinaryConv2d: "binary_conv", BinaryLinear: "binary_linear", Affine: "affine"}


def name_tensors(graph: Graph) -> Outcome:
    """Renames every tensor."""
    taken: set[str] = set()
    names: dict[str, str] = {}
    for node in graph:
        base = _base(graph, node)
        name, count = base, 1
        while name in taken:
            count += 1
            name = f"{base}{count}"
        taken.add(name)
        names[node.name] = name
    editor = Editor(graph)
    editor.rename(names)
    return Outcome(editor.finish(), sum(old != new for old, new in names.items()))


def _base(graph: Graph, node: Node) -> str:
    if node.name in graph.outputs:
        return "output" if len(graph.outputs) == 1 else f"output_{graph.outputs.index(node.name)}"
    if isinstance(node.op, Input):
        return "input" if len(graph.inputs) == 1 else f"input_{graph.inputs.index(node.name)}"
    kind = _KINDS.get(type(node.op), node.op.kind.lower())
    return f"{node.module}/{kind}" if node.module else kind
