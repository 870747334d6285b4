"""Small clean-ups that change no value.

| rule                                             | because                                                  |
|--------------------------------------------------|----------------------------------------------------------|
| `Sign(Clamp(x, lo < 0 <= hi)) -> Sign(x)`         | clamping keeps the side of zero (also for NaN: +1)       |
| `Sign(Sign(x)) -> Sign(x)`                        | a sign is its own sign                                   |
| equal operators on equal tensors -> one           | a binary layer per branch, one packing; layers are kept  |
| `Slice(Slice(x))`, `Reshape(Reshape(x))` -> one    | they only move values                                    |
| `Reshape(GlobalAvgPool(x)) -> GlobalAvgPool(x)`    | [N, C, 1, 1] -> [N, C]                                   |
| reshape to the same shape -> nothing              |                                                          |
"""

from __future__ import annotations

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.transforms.base import Outcome, until_stable
from fdabnn_deploy.transforms.equal import operator_key

_MERGED = (
    ops.Add,
    ops.Affine,
    ops.Clamp,
    ops.Concat,
    ops.Maximum,
    ops.MaxPool2d,
    ops.Mover,
    ops.Mul,
    ops.Pad,
    ops.PositionAffine,
    ops.PRelu,
    ops.Relu,
    ops.Sign,
    ops.Sub,
)


def simplify(graph: Graph) -> Outcome:
    """Applies the rules until none fits."""
    return until_stable(_sweep, graph)


def _sweep(graph: Graph) -> Outcome:
    editor, applied = Editor(graph), 0
    made: dict[tuple[object, ...], str] = {}
    for node in graph:
        source = editor[editor[node.name].inputs[0]] if node.inputs else None
        if source is None:
            continue
        if _merged(editor, editor[node.name], made):
            applied += 1
            continue
        if isinstance(node.op, ops.Sign):
            if isinstance(source.op, ops.Clamp) and source.op.low < 0 <= source.op.high:
                editor.set(node.name, ops.Sign(), source.inputs)
                applied += 1
            elif isinstance(source.op, ops.Sign):
                editor.redirect(node.name, source.name)
                applied += 1
        elif isinstance(node.op, ops.Reshape):
            applied += _reshape(graph, editor, node, node.op, source)
        elif (
            isinstance(node.op, ops.Slice)
            and isinstance(source.op, ops.Slice)
            and len(graph.consumers(source.name)) == 1
        ):
            editor.set(node.name, _compose(source.op, node.op), source.inputs)
            applied += 1
    return Outcome(editor.finish() if applied else graph, applied)


def _merged(editor: Editor, node: Node, made: dict[tuple[object, ...], str]) -> bool:
    """Whether an equal operator stands for this one from now on."""
    if not isinstance(node.op, _MERGED) or editor.is_output(node.name):
        return False
    key = operator_key(node.op, node.inputs)
    if key not in made:
        made[key] = node.name
        return False
    editor.redirect(node.name, made[key])
    return True


def _reshape(graph: Graph, editor: Editor, node: Node, op: ops.Reshape, source: Node) -> bool:
    shape = graph.shape(node.name)
    if graph.shape(node.inputs[0]) == shape:
        editor.redirect(node.name, source.name)
        return True
    if isinstance(source.op, ops.Reshape):
        editor.set(node.name, op, source.inputs)
        return True
    if isinstance(source.op, ops.GlobalAvgPool) and source.op.keepdims and len(shape) == 2:
        editor.set(node.name, ops.GlobalAvgPool(), source.inputs)
        return True
    return False


def _compose(first: ops.Slice, second: ops.Slice) -> ops.Slice:
    ranges = []
    for (begin, end, step), (begin2, end2, step2) in zip(first.ranges, second.ranges, strict=True):
        ranges.append((begin + step * begin2, min(begin + step * end2, end), step * step2))
    return ops.Slice(tuple(ranges))
