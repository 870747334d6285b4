"""Counts the operators of a finished ONNX file by name, with those that compute on signs counted apart."""

from __future__ import annotations

from collections import Counter

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from fdabnn_onnx.fold_weights import fold_weights
from fdabnn_onnx.lower.layout import MOVERS

ONE_BIT = " (1-bit)"
"""Behind the name of an operator that multiplies signs with weights of +-1."""


def count_ops(model: ModelProto) -> dict[str, int]:
    """Operators by ONNX name, sorted.

    A `Conv`, `Gemm` or `MatMul` is counted as `Conv (1-bit)` and so on where its weight is an initialiser of nothing but +1 and -1, it
    has no bias, and its input is a sign, directly or behind operators that only move values; so is a `BinaryConv`, always. What makes
    floats of weights that are stored as integers is not counted: runtimes do it once, when they load the file.
    """
    model = fold_weights(model)
    makers = {output: node for node in model.graph.node for output in node.output}
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    counts = Counter(
        node.op_type + (ONE_BIT if is_one_bit(node, makers, initializers) else "")
        for node in model.graph.node
    )
    return dict(sorted(counts.items()))


def is_one_bit(node: NodeProto, makers: dict[str, NodeProto], initializers: dict[str, TensorProto]) -> bool:
    """Whether a node multiplies signs with weights of +-1.

    Args:
        node: of the model.
        makers: its nodes by the tensors that they make.
        initializers: its constants by name.
    """
    if node.domain == "fdabnn":
        return node.op_type == "BinaryConv"
    if (
        node.op_type not in {"Conv", "Gemm", "MatMul"}
        or len(node.input) != 2
        or node.input[1] not in initializers
    ):
        return False
    weight = numpy_helper.to_array(initializers[node.input[1]])
    return bool(np.all(np.abs(weight) == 1)) and _is_sign(node.input[0], makers, initializers)


def _is_sign(tensor: str, makers: dict[str, NodeProto], initializers: dict[str, TensorProto]) -> bool:
    """Whether a tensor holds only -1 and +1, as seen from the operators that make it."""
    node = makers.get(tensor)
    if node is None:
        return False
    if node.op_type == "Where":
        values = [
            numpy_helper.to_array(initializers[name]) for name in node.input[1:] if name in initializers
        ]
        return len(values) == 2 and all(np.all(np.abs(value) == 1) for value in values)
    if node.op_type == "Pad":
        value = initializers.get(node.input[2]) if len(node.input) > 2 else None
        if value is None or abs(float(numpy_helper.to_array(value))) != 1:
            return False
    if node.op_type == "Concat":
        return all(_is_sign(name, makers, initializers) for name in node.input)
    return node.op_type in MOVERS and _is_sign(node.input[0], makers, initializers)
