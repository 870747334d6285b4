"""The exact float layer as `Digits` and `ConvDifference` (docs/ops/conv-difference.md), or standard layers where that takes no such one."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.composites import ExactConv2d, ExactLayer
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Conv2d, FloatArray
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower import LOWERINGS
from fdabnn_onnx.packed.fixed_point import write_slices
from fdabnn_onnx.packed.operator_domain import constant, emit

SUBTRACT = -1
"""In an expression: the difference of the two results in front of it."""

MOST_SLICES, MOST_TERMS = 4, 64


def write_exact_layer(to: Emitter, node: Node, op: ExactLayer) -> None:
    """The slices, then the differences of partial products."""
    slices = write_slices(to, node, op)
    if isinstance(op, ExactConv2d) and _fits(op):
        _difference(to, node, op, slices)
        return
    for part in op.sum_nodes(node, slices):
        LOWERINGS[type(part.op)](to, part, part.op)


def _fits(op: ExactConv2d) -> bool:
    reach = [(size - 1) * d for size, d in zip(op.weights[0].shape[2:], op.dilation, strict=True)]
    return (
        2 <= len(op.products) <= MOST_TERMS
        and len(op.operand.exponents) <= MOST_SLICES
        and op.groups == 1
        and all(pad <= most for pad, most in zip(op.padding, reach, strict=True))
    )


def _difference(to: Emitter, node: Node, op: ExactConv2d, slices: list[str]) -> None:
    """`t0 - ((t1 - t2) - ...)` in postfix notation: `0 1 2 -1 ... -1`."""
    terms = [(slices[a], layer) for a, layer in op.terms()]
    sources = list(dict.fromkeys(source for source, _ in terms))
    filters: dict[bytes, FloatArray] = {}
    numbers, biases = [], []
    for _, layer in terms:
        assert isinstance(layer, Conv2d)
        filters.setdefault(layer.weight.tobytes(), layer.weight)
        numbers.append(list(filters).index(layer.weight.tobytes()))
        biases.append(np.zeros(len(layer.weight), np.float32) if layer.bias is None else layer.bias)
    expression = [0, 1]
    for term in range(2, len(terms)):
        expression += [term, SUBTRACT]
    constants = [
        constant(to, f"{node.name}/filters", np.stack(list(filters.values()))),
        constant(to, f"{node.name}/biases", np.stack(biases)),
    ]
    emit(
        to,
        "ConvDifference",
        [*constants, *sources],
        [node.name],
        expression=[*expression, SUBTRACT],
        term_inputs=[sources.index(source) for source, _ in terms],
        term_filters=numbers,
        strides=op.stride,
        dilations=op.dilation,
        pads=list(op.padding) * 2,
    )
