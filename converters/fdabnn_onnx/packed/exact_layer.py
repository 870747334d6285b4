"""The exact float layer as `Digits` and `ConvDifference` (docs/ops/conv-difference.md), or standard layers where that takes no such one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.composites import ExactConv2d, ExactLayer
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.integer_weights import integer_weights
from fdabnn_deploy.ir.ops import BorderOffset, CentredPixels, Clamp, Conv2d, FloatArray
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower import LOWERINGS
from fdabnn_onnx.packed.fixed_point import write_slices
from fdabnn_onnx.packed.operator_domain import constant, emit

SUBTRACT = -1
"""In an expression: the difference of the two results in front of it."""

MOST_SLICES, MOST_TERMS = 4, 64


def borders_inside(graph: Graph) -> dict[str, Node]:
    """Offsets at borders that nothing else stands in front of than an exact convolution: they become a part of it, by its name."""
    found = {}
    for node in graph.nodes_of(BorderOffset):
        layer = graph[node.inputs[0]]
        alone = graph.consumers(layer.name) == (node,) and layer.name not in graph.outputs
        if alone and isinstance(layer.op, ExactConv2d) and _fits(layer.op):
            found[layer.name] = node
    return found


def pixels_inside(graph: Graph) -> dict[str, str]:
    """The pixels that exact convolutions read, where nobody else reads what is made of them: by the name of that, the input's name."""
    found = {}
    for node in graph.nodes_of(CentredPixels):
        last = node
        while isinstance(graph.consumers(last.name)[0].op, Clamp) and len(graph.consumers(last.name)) == 1:
            last = graph.consumers(last.name)[0]
        readers = [reader.op for reader in graph.consumers(last.name)]
        alone = all(isinstance(op, ExactConv2d) and _fits(op) and op.operand.limits is None for op in readers)
        if alone and last.name not in graph.outputs and readers:
            found[last.name] = node.inputs[0]
    return found


def write_exact_layer(to: Emitter, node: Node, op: ExactLayer, border: Node | None, pixels: str) -> None:
    """The slices, then the differences of partial products.

    Args:
        to: the model in the making.
        node: of the layer.
        op: the layer.
        border: the offsets at borders that are a part of it, or None.
        pixels: the tensor of bytes that it reads in the place of its operand, or nothing.
    """
    slices = [pixels] if pixels else write_slices(to, node, op)
    if isinstance(op, ExactConv2d) and _fits(op):
        _difference(to, node, op, slices, border, {"pixel_input": 1} if pixels else {})
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


def _difference(
    to: Emitter,
    node: Node,
    op: ExactConv2d,
    slices: list[str],
    border: Node | None,
    attributes: dict[str, Any],
) -> None:
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
    stacked: NDArray[Any] = np.stack(list(filters.values()))
    rows = stacked.reshape(-1, *stacked.shape[2:])
    integers = integer_weights(rows, bits=8) if to.integers else None
    if integers is not None:
        stacked = integers.integers.reshape(stacked.shape)
        attributes["exponents"] = integers.exponents.tolist()
    output = node.name
    if border is not None:
        assert isinstance(border.op, BorderOffset)
        offset, output = border.op.offset, border.name
        biases += list(offset.reshape(len(offset), -1).T)
        attributes |= {"border_rows": border.op.rows.tolist(), "border_columns": border.op.columns.tolist()}
    constants = [
        constant(to, f"{node.name}/filters", stacked),
        constant(to, f"{node.name}/biases", np.stack(biases)),
    ]
    emit(
        to,
        "ConvDifference",
        [*constants, *sources],
        [output],
        expression=[*expression, SUBTRACT],
        term_inputs=[sources.index(source) for source, _ in terms],
        term_filters=numbers,
        strides=op.stride,
        dilations=op.dilation,
        pads=list(op.padding) * 2,
        **attributes,
    )
