"""Moves signs down to the layer that uses them: `f(Sign(x)) = Sign(f(x))` for everything that only moves or selects values.

Reshape, slice, transposition and concatenation move values; max pooling selects one, and the sign is monotone; padding signs with +1
or -1 is padding their source with the same number, and a sign with three values may be padded with 0, too. Binary kernels and targets
recognise a sign that stands right before its layer. A uniform scale behind a sign, `Affine(h, 0)`, moves down the same way,
and so does an offset:

| written                                    | becomes                                                                              |
|--------------------------------------------|--------------------------------------------------------------------------------------|
| `f(h Sign(x))`                             | `h f(Sign(x))`; max pooling only with h > 0                                          |
| `pad(h Sign(x), v)`                        | `h pad(Sign(x), v / h)`                                                              |
| `maxpool(h Sign(x))` with h < 0            | `h Sign(-maxpool(-x))`                                                               |
| `concat(h Sign(x), -h Sign(y))`            | `Affine(concat(Sign(x), Sign(y)))` with h and -h per channel                         |
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Add, Affine, Concat, MaxPool2d, Mover, Op, Pad, Sign, TorchSign
from fdabnn_deploy.transforms.base import Outcome, until_stable
from fdabnn_deploy.transforms.signs.two_values import two_values


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
    """Moves scales and offsets behind signs below, where all channels of a tensor have the same."""
    found = [two_values(graph, source) for source in sources]
    known = [values for values in found if values is not None and values.uniform]
    if len(known) < len(found) or len({type(values.sign.op) for values in known}) > 1:
        return False
    if all(isinstance(source.op, Sign | TorchSign) for source in sources):
        return False
    if isinstance(node.op, Concat):
        # A layer behind needs one magnitude for all channels.
        if len({abs(float(values.scale[0])) for values in known}) > 1:
            return False
        inner = _add(editor, node, node.op, tuple(values.sign.name for values in known), "of_signs")
        scale = np.concatenate([values.scale for values in known])
        offset = np.concatenate([values.offset for values in known])
        _write(editor, node, inner, scale, offset)
        return True
    channels = graph.shape(node.name)[1]
    factor, added = float(known[0].scale[0]), float(known[0].offset[0])
    moved = _moved(editor, node, known[0].sign, factor, added, channels)
    if moved:
        _write(editor, node, moved, np.full(channels, factor), np.full(channels, added))
    return bool(moved)


def _write(editor: Editor, node: Node, sign: str, scale: DoubleArray, offset: DoubleArray) -> None:
    """Makes a tensor `scale sign + offset`: one affine, or where that rounds two, each of which is 0 for one of the signs."""
    minus, plus = offset - scale, offset + scale
    one = Affine(scale, offset)
    if np.array_equal(one.offset32 - one.scale32, minus) and np.array_equal(one.offset32 + one.scale32, plus):
        editor.set(node.name, one, (sign,))
        return
    parts = (Affine(-minus / 2, minus / 2), Affine(plus / 2, plus / 2))
    editor.set(node.name, Add(), tuple(_add(editor, node, part, (sign,), "scaled") for part in parts))


def _moved(editor: Editor, node: Node, sign: Node, scale: float, offset: float, channels: int) -> str:
    """The node's operator on the sign itself; empty where that is no sign."""
    op = node.op
    if isinstance(op, MaxPool2d) and scale < 0:
        negation = Affine(-np.ones(channels), np.zeros(channels))
        negated = _add(editor, node, negation, sign.inputs, "negated")
        largest = _add(editor, node, op, (negated,), "of_negated")
        smallest = _add(editor, node, negation, (largest,), "smallest")
        return _add(editor, node, sign.op, (smallest,), "of_signs")
    if isinstance(op, Pad):
        value = (op.value - offset) / scale
        if value not in ((1.0, -1.0) if isinstance(sign.op, Sign) else (1.0, -1.0, 0.0)):
            return ""
        return _add(editor, node, Pad(op.pads, value), (sign.name,), "of_signs")
    return _add(editor, node, op, (sign.name,), "of_signs")


def _add(editor: Editor, node: Node, op: Op, inputs: tuple[str, ...], part: str) -> str:
    name = editor.fresh(f"{node.name}_{part}")
    editor.add(Node(name, op, inputs, node.module, node.source, node.text), near=node.name)
    return name
