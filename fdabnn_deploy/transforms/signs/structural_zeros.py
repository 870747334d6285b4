"""Where zeros in front of a sign are the rule and no accident of rounding, and why.

| in front of the sign                                                  | zeros                                    |
|-----------------------------------------------------------------------|------------------------------------------|
| ReLU, a clamp that ends at 0, a PReLU of slope 0, a maximum with 0     | whatever was negative                    |
| padding with 0                                                        | the border                               |
| channels of zeros joined or padded on, or made by a layer             | whole channels                           |
| sums of integers: binary layers without bias, sums of signs           | where as many terms are +1 as -1         |

Operators that keep 0 (pooling, reshaping, scales, norms without offset) are looked through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.transforms.signs.step_functions import Step, find_steps

_KEEPS = (ops.AvgPool2d, ops.GlobalAvgPool, ops.MaxPool2d, ops.Mover)
_RELU, _PADDING, _CHANNELS, _INTEGERS = (
    "behind a ReLU", "zero padding", "channels of zeros", "sums of integers"
)  # fmt: skip


def structural_zeros(graph: Graph, signs: Mapping[str, Step]) -> dict[str, str]:
    """Per module path of the signs ("model" for the outermost) the reasons for zeros, where there are any."""
    found: dict[str, list[str]] = {}
    steps = find_steps(graph)
    for name, step in signs.items():
        if step.around_zero:
            reasons = found.setdefault(graph[name].module or "model", [])
            reasons += [reason for reason in _reasons(graph, step.source[0], steps) if reason not in reasons]
    return {module: ", ".join(reasons) for module, reasons in found.items() if reasons}


def _reasons(graph: Graph, name: str, steps: Mapping[str, Step]) -> list[str]:
    node = graph[name]
    op = node.op
    own = _own_reason(graph, node, steps)
    if own:
        return [own]
    if isinstance(op, ops.Pad) and op.value == 0:
        border = [_CHANNELS] if any(op.pads[0]) else []
        border += [_PADDING] if any(map(any, op.pads[1:])) else []
        return [*border, *_reasons(graph, node.inputs[0], steps)]
    if isinstance(op, ops.Concat):
        return [reason for source in node.inputs for reason in _reasons(graph, source, steps)]
    if isinstance(op, _KEEPS) or (isinstance(op, ops.Unary) and op.function == "neg"):
        return _reasons(graph, node.inputs[0], steps)
    if isinstance(op, ops.BatchNorm):
        offset = op.beta - op.mean * op.gamma / np.sqrt(op.var + op.eps)
        return [] if np.all(offset) else _reasons(graph, node.inputs[0], steps)
    computed = [source for source in node.inputs if graph.constant(source) is None]
    if isinstance(op, ops.Mul | ops.Div) and computed:
        return _reasons(graph, computed[0], steps)
    if isinstance(op, ops.Add | ops.Sub) and len(computed) == 2:
        if all(_holds_integers(graph, source, steps) for source in computed):
            return [_INTEGERS]
        first, second = (_reasons(graph, source, steps) for source in computed)
        return first if second else []
    return []


def _own_reason(graph: Graph, node: Node, steps: Mapping[str, Step]) -> str:
    """Why this operator makes zeros."""
    op = node.op
    if isinstance(op, ops.Relu):
        return _RELU
    if isinstance(op, ops.Clamp) and 0 in (op.low, op.high):
        return _RELU
    if isinstance(op, ops.PRelu) and np.any(op.slope == 0):
        return _RELU
    if isinstance(op, ops.Maximum) and _has_zero_constant(graph, node.inputs):
        return _RELU
    if isinstance(op, ops.BatchNorm) and np.any((op.gamma == 0) & (op.beta == 0)):
        return _CHANNELS
    if isinstance(op, ops.TrainedConv2d | ops.TrainedLinear):
        unused = np.abs(op.weight.value).reshape(len(op.weight.value), -1).max(axis=1) == 0
        if np.any(unused if op.bias is None else unused & (op.bias == 0)):
            return _CHANNELS
        return _INTEGERS if _may_cancel(graph, node, steps) else ""
    return ""


def _may_cancel(graph: Graph, node: Node, steps: Mapping[str, Step]) -> bool:
    """Whether a layer adds up integers, and not an odd number of +1 and -1 everywhere."""
    if not _holds_integers(graph, node.name, steps):
        return False
    assert isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear)
    taps = node.op.weight.value[0].size
    padded = isinstance(node.op, ops.TrainedConv2d) and any(node.op.padding)
    odd = taps % 2 == 1 and not padded and not np.any(node.op.weight.value == 0)
    return not (odd and node.inputs[0] in steps and _is_plus_minus(graph, node.inputs[0], steps))


def _is_plus_minus(graph: Graph, name: str, steps: Mapping[str, Step]) -> bool:
    levels = steps[name].levels(graph.shape(name))
    return levels is not None and all(np.all(np.abs(level) == 1) for level in levels)


def _has_zero_constant(graph: Graph, names: Iterable[str]) -> bool:
    constants = [graph.constant(name) for name in names]
    return any(constant is not None and not np.any(constant.value) for constant in constants)


def _holds_integers(graph: Graph, name: str, steps: Mapping[str, Step]) -> bool:
    """Whether a tensor holds integers, up to a scale per channel: signs, and what binary layers without bias make of them."""
    node = graph[name]
    op = node.op
    if name in steps:
        return True
    if isinstance(op, ops.TrainedConv2d | ops.TrainedLinear):
        return op.bias is None and op.weight.binarised and _holds_integers(graph, node.inputs[0], steps)
    if isinstance(op, ops.Add | ops.Sub):
        return all(_holds_integers(graph, source, steps) for source in node.inputs)
    if isinstance(op, (*_KEEPS, ops.Pad, ops.Concat)):
        return all(_holds_integers(graph, source, steps) for source in node.inputs)
    return False
