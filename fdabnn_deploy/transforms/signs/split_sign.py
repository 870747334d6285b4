"""Writes the signs with three values that are left as the mean of two: `torch.sign(x) = (Sign(x) - Sign(-x)) / 2`.

At 0 both signs are +1 and their difference is 0; elsewhere they are opposite. Layers between three-valued signs and binary weights have
become two binary layers before (`recognise_binary`); this is for residuals, float layers, pools and outputs.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Affine, Sign, Sub, TorchSign
from fdabnn_deploy.transforms.base import Outcome


def split_sign(graph: Graph) -> Outcome:
    """Rewrites every `TorchSign`; its two signs are shared with the binary layers that read the same tensor."""
    editor = Editor(graph)
    signs = graph.nodes_of(TorchSign)
    for node in signs:
        plus, minus = two_signs(editor, graph, node)
        difference = editor.fresh(f"{node.name}_difference")
        editor.add(
            Node(difference, Sub(), (plus, minus), node.module, node.source, node.text), near=node.name
        )
        channels = graph.shape(node.name)[1]
        editor.set(node.name, Affine(np.full(channels, 0.5), np.zeros(channels)), (difference,))
    return Outcome(editor.finish() if signs else graph, len(signs))


def two_signs(editor: Editor, graph: Graph, node: Node) -> tuple[str, str]:
    """The names of `Sign(x)` and `Sign(-x)` for the x of a three-valued sign, made where they are not there yet."""
    plus, minus, negated = (f"{node.name}_{part}" for part in ("plus", "minus", "negated"))
    if plus not in editor:
        channels = graph.shape(node.name)[1]
        negation = Affine(-np.ones(channels), np.zeros(channels))
        for name, op, source in (
            (plus, Sign(), node.inputs[0]),
            (negated, negation, node.inputs[0]),
            (minus, Sign(), negated),
        ):
            editor.add(Node(name, op, (source,), node.module, node.source, node.text), near=node.name)
    return plus, minus
