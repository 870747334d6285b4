"""How a convolution or dense layer with float weights becomes exact: as partial products of slices (`plan`, `ir.composites.ExactLayer`)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from fdabnn_deploy.exact.operand_grids import MARGIN, Cutter, limits_of
from fdabnn_deploy.exact.plan import PRODUCTS, choose, slice_counts, slice_exponents
from fdabnn_deploy.exact.record import Cut
from fdabnn_deploy.exact.weight_grids import Gridded, slices_with_kept_sums
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.composites import ExactConv2d, ExactLayer, ExactLinear, OperandFormat
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Clamp, Conv2d, Linear, Shape
from fdabnn_deploy.ir.ranges import Values

SIGN_ERROR = 6.5e-7
"""Relative error of a layer in front of signs from which on it gets further parts: some five times what float32 itself has.

Layers of few weights come as close as float32 (`FEW_ERROR`): of a ResNet-20's decisions 0.1 % are then others than the trained
network's, as with float32, and 0.2 % with 5e-7 in its first layer.
"""

FEW_WEIGHTS, FEW_ERROR = 1 << 12, 2.0**-23
"""A layer of at most so many weights, such as a small stem, has slices of more bits, which files keep as 16 bits or as floats, and may have
the error of float32 itself."""

LOGIT_ERROR = 2.0**-11
"""The same where no sign follows: there an error stays as small as it is."""


def float_layer(cutter: Cutter, node: Node) -> None:
    """Adds the exact layer that stands for a float one."""
    builder, op = cutter.builder, node.op
    assert isinstance(op, Conv2d | Linear)
    weight, bias = _parameters(op)
    original = node.inputs[0]
    operand = builder.name(original)

    def choice() -> tuple[Cut, float]:
        known = weight, bias, builder.bounds(operand), builder.observed(original), MARGIN
        if node.name in cutter.slices:
            return choose(*known, 0.0, slices=cutter.slices[node.name])
        if not builder.leads_to_sign(node.name):
            return choose(*known, LOGIT_ERROR)
        if weight.size <= FEW_WEIGHTS:
            return choose(*known, FEW_ERROR, bits=None)
        return choose(*known, SIGN_ERROR)

    cut, error = cutter.decide(node, choice)
    clipped = builder.clipped(operand, cut.low, cut.high)
    operand_slices, weight_slices = slice_counts(cut.parts)
    values = builder.bounds(operand)
    operand_format = fixed_point(cut, values, builder.shape(operand), operand_slices)
    bounds = operand_format.bounds(values, builder.shape(operand))[0]
    weights = slices_with_kept_sums(weight, bias, bounds.magnitude, bounds.grid, weight_slices, cut.bits)
    exact = _exact(op, operand_format, weights, cut.parts)
    builder.add(node, _with_free_names(builder.graph, node, exact), [operand])
    cutter.note(node, cut, bounds, error, clipped, _bits(weight, weights))


def fixed_point(cut: Cut, values: Values, shape: Shape, count: int) -> OperandFormat:
    """The format of an operand: limits and roundings where its values need them, slices until nothing is left of it.

    Args:
        cut: limits and first grid.
        values: bounds of the operand.
        shape: of the operand.
        count: slices at most.
    """
    limits = limits_of(cut, values)
    limited = values if limits is None else Clamp(*limits).bounds([values], [shape], shape)
    rounded = cut.exponent is not None and limited.grid > cut.exponent
    first = OperandFormat(limits, (cut.exponent if rounded else None,))
    bounds = first.bounds(values, shape)[0]
    exponents = list(first.exponents)
    for last, exponent in pairwise(slice_exponents(bounds.magnitude, bounds.grid, count)):
        if limited.grid <= last:
            break
        exponents.append(exponent if limited.grid > exponent else None)
    return OperandFormat(limits, tuple(exponents))


def _exact(op: Conv2d | Linear, operand: OperandFormat, weights: list[Gridded], parts: int) -> ExactLayer:
    def matters(product: tuple[int, int]) -> bool:
        a, b = product
        return bool(np.any(weights[b].weight) or (a == 0 and np.any(weights[b].bias)))

    # Weights that are small integers, as of ternary layers, are in the first slice already: others are zeros.
    products = [product for product in PRODUCTS[parts] if product[0] < len(operand.exponents)]
    common = (
        operand,
        tuple(part.weight.astype(np.float32) for part in weights),
        tuple(part.bias.astype(np.float32) for part in weights),
        tuple(product for product in products if product == (0, 0) or matters(product)),
    )
    if isinstance(op, Linear):
        return ExactLinear(*common)
    return ExactConv2d(*common, op.stride, op.padding, op.dilation, op.groups)


def _with_free_names(graph: Graph, node: Node, exact: ExactLayer) -> ExactLayer:
    """The layer with other names for its inner tensors where the graph has one of such a name itself."""
    count = 0
    while any(part.name in graph for part in exact.decompose(node)[:-1]):
        count += 1
        exact = replace(exact, suffix=f"_{count}")
    return exact


def _parameters(op: Conv2d | Linear) -> tuple[DoubleArray, DoubleArray]:
    bias = np.zeros(len(op.weight)) if op.bias is None else op.bias.astype(np.float64)
    return op.weight.astype(np.float64), bias


def _bits(weight: DoubleArray, slices: list[Gridded]) -> int:
    """Bits from the largest weight down to the grid of the last slice, in the channel with the fewest; 0 if all weights are 0."""
    rows = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    used = rows > 0
    if not np.any(used):
        return 0
    units = np.ldexp(rows[used], slices[-1].exponents[used].astype(np.int32))
    return int(np.ceil(np.log2(units + 1)).min()) + 1
