"""Limits, roundings and remainders of fixed-point operands as one `Digits` (docs/ops/digits.md)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fdabnn_deploy.ir.composites import ExactLayer
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Clamp, RoundToGrid, Saturate
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower import LOWERINGS
from fdabnn_onnx.packed.operator_domain import constant, emit


def limits_inside(graph: Graph) -> dict[str, Node]:
    """The limits that nothing but a rounding reads, by the name of the rounding: they become a part of its `Digits`."""
    found = {}
    for node in graph.nodes_of(RoundToGrid):
        limits = graph[node.inputs[0]]
        alone = len(graph.consumers(limits.name)) == 1 and limits.name not in graph.outputs
        if alone and (isinstance(limits.op, Saturate) or _is_digits_limit(limits.op)):
            found[node.name] = limits
    return found


def _is_digits_limit(op: object) -> bool:
    # Of zeros as limits, a Clip may give either, a `Digits` gives one of them.
    return isinstance(op, Clamp) and op.low < 0 < op.high


def write_rounding(to: Emitter, node: Node, op: RoundToGrid, limits: Node | None) -> None:
    """A rounding, with its limits where they stand for nothing else."""
    if limits is None:
        _digits(to, node.inputs[0], (op.exponent,), [node.name], None)
        return
    assert isinstance(limits.op, Saturate | Clamp)
    _digits(to, limits.inputs[0], (op.exponent,), [node.name], (limits.op.low, limits.op.high))


def write_slices(to: Emitter, node: Node, op: ExactLayer) -> list[str]:
    """The slices of an exact layer's operand; returns their names."""
    nodes, slices = op.operand_nodes(node)
    exponents = [exponent for exponent in op.operand.exponents if exponent is not None]
    limits, source = op.operand.limits, node.inputs[0]
    if not exponents or (limits is not None and not _is_digits_limit(Clamp(*limits))):
        # The limits stay an operator of their own; where there are any, they are the first of the nodes.
        if limits is not None:
            LOWERINGS[Clamp](to, nodes[0], nodes[0].op)
            source = nodes[0].name
        limits = None
    if exponents:
        _digits(to, source, exponents, slices, limits)
    return slices


def _digits(
    to: Emitter,
    source: str,
    exponents: Sequence[int],
    outputs: Sequence[str],
    limits: tuple[float, float] | None,
) -> None:
    inputs = [source]
    if limits is not None:
        inputs.append(constant(to, f"{outputs[0]}/limits", np.array(limits, np.float32)))
    emit(to, "Digits", inputs, outputs, exponents=list(exponents))
