"""Functions of one value that have an exact form, as operators that targets have.

| written    | becomes      |
|------------|--------------|
| `abs(x)`   | `max(x, -x)` |
| `square(x)`| `x * x`      |

A negation rounds nothing, so the first is exact; the second rounds once, as it does in PyTorch.
"""

from __future__ import annotations

from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Maximum, Mul, Unary
from fdabnn_deploy.transforms.base import Outcome


def lower_functions(graph: Graph) -> Outcome:
    """Rewrites every such function that is left."""
    editor, applied = Editor(graph), 0
    for node in graph.nodes_of(Unary):
        assert isinstance(node.op, Unary)
        (x,) = node.inputs
        if node.op.function == "square":
            editor.set(node.name, Mul(), (x, x))
        elif node.op.function == "abs":
            negated = editor.fresh(f"{node.name}_negated")
            editor.add(Node(negated, Unary("neg"), (x,), node.module, node.source, node.text), near=node.name)
            editor.set(node.name, Maximum(), (x, negated))
        else:
            continue
        applied += 1
    return Outcome(editor.finish() if applied else graph, applied)
