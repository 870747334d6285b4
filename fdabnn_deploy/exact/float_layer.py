"""How a convolution or dense layer with float weights becomes exact: as a sum of partial products of slices (`plan`)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from fdabnn_deploy.exact.operand_grids import MARGIN, Cutter
from fdabnn_deploy.exact.plan import PRODUCTS, choose, digit_counts, digit_exponents
from fdabnn_deploy.exact.record import Cut
from fdabnn_deploy.exact.weight_grids import Gridded, digits_of
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Conv2d, Linear, Op, RoundToGrid, Sub
from fdabnn_deploy.ir.ops.base import DoubleArray

SIGN_ERROR = 2.0**-23
"""Relative error of a layer in front of signs from which on it gets further parts: what float32 itself would have."""

LOGIT_ERROR = 2.0**-11
"""The same where no sign follows: there an error stays as small as it is."""


def float_layer(cutter: Cutter, node: Node) -> None:
    """Adds the exact sums that stand for a layer, and the differences that add them up."""
    bench, op = cutter.bench, node.op
    assert isinstance(op, Conv2d | Linear)
    weight, bias = _parameters(op)
    original = node.inputs[0]

    def choice() -> tuple[Cut, float]:
        tolerance = SIGN_ERROR if bench.leads_to_sign(node.name) else LOGIT_ERROR
        bounds = bench.bounds(bench.name(original))
        return choose(weight, bias, bounds, bench.observed(original), MARGIN, tolerance)

    cut, error = cutter.decide(node, choice)
    clipped = bench.clipped(bench.name(original), cut.low, cut.high)
    limited = cutter.limit(node, cut)
    operand = [cutter.round(node, cut, limited)]
    bounds = bench.bounds(operand[0])
    operand_digits, weight_digits = digit_counts(cut.parts)
    operand += _remainders(cutter, node, limited, operand[0], operand_digits - 1)
    weights = digits_of(weight, bias, bounds.magnitude, bounds.grid, weight_digits)
    total = ""
    others = [digits for digits in PRODUCTS[cut.parts][1:] if digits[0] < len(operand)]
    # The smallest first. Differences, because runtimes fuse additions into convolutions (see `guard_sums`).
    for a, b in reversed(others):
        term = _with_parameters(op, weights[b], negative=not total, biased=a == 0)
        name = bench.add(node, term, [operand[a]], f"x{a}w{b}")
        total = bench.add(node, Sub(), [total, name], "rest") if total else name
    largest = _with_parameters(op, weights[0], negative=False, biased=True)
    name = bench.add(node, largest, [operand[0]], "x0w0" if total else "")
    if total:
        bench.add(node, Sub(), [name, total])
    cutter.note(node, cut, bounds, error, clipped, _bits(weight, weights))


def _remainders(cutter: Cutter, node: Node, limited: str, digit: str, count: int) -> list[str]:
    """The further slices of an operand, until nothing is left of it."""
    bench, rest = cutter.bench, limited
    bounds = bench.bounds(digit)
    exponents = digit_exponents(bounds.magnitude, bounds.grid, count + 1)
    digits: list[str] = []
    for last, exponent in pairwise(exponents):
        if bench.bounds(rest).grid <= last:
            break
        rest = bench.add(node, Sub(), [rest, digit], "remainder", within=2.0 ** -(last + 1))
        digit = rest
        if bench.bounds(rest).grid > exponent:
            digit = bench.add(node, RoundToGrid(exponent), [rest], f"x{len(digits) + 1}")
        digits.append(digit)
    return digits


def _parameters(op: Conv2d | Linear) -> tuple[DoubleArray, DoubleArray]:
    bias = np.zeros(len(op.weight)) if op.bias is None else op.bias.astype(np.float64)
    return op.weight.astype(np.float64), bias


def _with_parameters(op: Conv2d | Linear, digit: Gridded, negative: bool, biased: bool) -> Op:
    """The layer with one slice of its parameters; `0 -` keeps zeros positive."""
    weight, bias = (0 - value if negative else value for value in (digit.weight, digit.bias))
    return replace(
        op,
        weight=weight.astype(np.float32),
        bias=bias.astype(np.float32) if biased and np.any(bias) else None,
    )


def _bits(weight: DoubleArray, digits: list[Gridded]) -> int:
    """Bits from the largest weight down to the grid of the last slice, in the channel with the fewest; 0 if all weights are 0."""
    rows = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    used = rows > 0
    if not np.any(used):
        return 0
    units = np.ldexp(rows[used], digits[-1].exponents[used].astype(np.int32))
    return int(np.ceil(np.log2(units + 1)).min()) + 1
