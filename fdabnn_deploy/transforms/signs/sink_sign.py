"""Moves signs down to the layer that uses them: `f(Sign(x)) = Sign(f(x))` for everything that only moves or selects values.

Reshape, slice, transposition and concatenation move values; max pooling selects one, and the sign is monotone; padding signs with +1
or -1 is padding their source with the same number, and a sign with three values may be padded with 0, too. Binary kernels and targets
recognise a sign that stands right before its layer. A uniform scale behind a sign, `Affine(h, 0)`, moves down the same way:

| written                                    | becomes                                                                              |
|--------------------------------------------|--------------------------------------------------------------------------------------|
| `f(h Sign(x))`                             | `h f(Sign(x))`; max pooling only with h > 0                                          |
| `pad(h Sign(x), v)`                        | `h pad(Sign(x), v / h)`                                                              |
| `maxpool(h Sign(x))` with h < 0            | `h Sign(-maxpool(-x))`                                                               |
| `concat(h Sign(x), -h Sign(y))`            | `Affine(concat(Sign(x), Sign(y)))` with h and -h per channel                         |
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Affine, Concat, MaxPool2d, Mover, Op, Pad, Sign, TorchSign
from fdabnn_deploy.transforms.base import Outcome, until_stable


def sink_sign(graph: Graph) -> Outcome:
    """Sinks until every sign stands before something else than a mover."""
    return until_stable(_sweep, graph)


def _sweep(graph: Graph) -> Outcome:
    editor, applied = Editor(graph), 0
    touched: set[str] = set()
    for node in graph:
        if not isinstance(node.op, Mover | Concat | MaxPool2d | Pad):
            continue
        if len(graph.shape(node.name)) == 1:
            # An output of one number per image has no channels, which signs and scales need.
            continue
        if node.name in touched or touched & set(node.inputs):
            continue
        sources = [graph[name] for name in node.inputs]
        if not (_below_signs(graph, editor, node, sources) or _below_scales(graph, editor, node, sources)):
            continue
        touched |= {node.name, *(s.name for s in sources)}
        applied += 1
    return Outcome(editor.finish() if applied else graph, applied)


def _below_signs(graph: Graph, editor: Editor, node: Node, sources: list[Node]) -> bool:
    """Moves signs of one kind below."""
    kinds = {type(source.op) for source in sources}
    if kinds not in ({Sign}, {TorchSign}):
        return False
    if isinstance(node.op, Pad) and node.op.value not in (
        (1.0, -1.0) if kinds == {Sign} else (1.0, -1.0, 0.0)
    ):
        return False
    inner = _add(editor, node, node.op, tuple(s.inputs[0] for s in sources), "of_values")
    editor.set(node.name, sources[0].op, (inner,))
    return True


def _below_scales(graph: Graph, editor: Editor, node: Node, sources: list[Node]) -> bool:
    """Moves uniform scales behind signs below."""
    scales = [_scale(graph, source) for source in sources]
    if any(scale is None or abs(scale) != abs(scales[0] or 0.0) for scale in scales):
        return False
    known = [scale for scale in scales if scale is not None]
    op, scale = node.op, known[0]
    channels = graph.shape(node.name)[1]
    if isinstance(op, Concat):
        if all(value == 1 for value in known):
            return False
        signs = tuple(s.inputs[0] if isinstance(s.op, Affine) else s.name for s in sources)
        vector = np.concatenate(
            [np.full(graph.shape(s.name)[1], value) for s, value in zip(sources, known, strict=True)]
        )
        editor.set(
            node.name, Affine(vector, np.zeros(channels)), (_add(editor, node, op, signs, "of_signs"),)
        )
        return True
    if not isinstance(sources[0].op, Affine):
        return False
    sign = graph[sources[0].inputs[0]]
    if isinstance(op, MaxPool2d) and scale < 0:
        negation = Affine(-np.ones(channels), np.zeros(channels))
        negated = _add(editor, node, negation, sign.inputs, "negated")
        largest = _add(editor, node, op, (negated,), "of_negated")
        smallest = _add(editor, node, negation, (largest,), "smallest")
        inner = _add(editor, node, sign.op, (smallest,), "of_signs")
    elif isinstance(op, Pad):
        if op.value / scale not in ((1.0, -1.0) if isinstance(sign.op, Sign) else (1.0, -1.0, 0.0)):
            return False
        inner = _add(editor, node, Pad(op.pads, op.value / scale), (sign.name,), "of_signs")
    else:
        inner = _add(editor, node, op, (sign.name,), "of_signs")
    editor.set(node.name, Affine(np.full(channels, scale), np.zeros(channels)), (inner,))
    return True


def _scale(graph: Graph, node: Node) -> float | None:
    """The h of `h Sign(x)`; None for everything else."""
    if isinstance(node.op, Sign | TorchSign):
        return 1.0
    op = node.op
    if not isinstance(op, Affine) or not isinstance(graph[node.inputs[0]].op, Sign | TorchSign):
        return None
    if np.any(op.offset) or np.ptp(op.scale) or op.scale[0] == 0:
        return None
    return float(op.scale[0])


def _add(editor: Editor, node: Node, op: Op, inputs: tuple[str, ...], part: str) -> str:
    name = editor.fresh(f"{node.name}_{part}")
    editor.add(Node(name, op, inputs, node.module, node.source, node.text), near=node.name)
    return name
