"""How each kind of operator becomes exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.graph import Node
from fdabnn_deploy.numerics.grid_row import GridRow
from fdabnn_deploy.numerics.plan import Observed, choose, fine_exponent, limits
from fdabnn_deploy.numerics.propagate import propagate
from fdabnn_deploy.numerics.record import Cut
from fdabnn_deploy.numerics.values import EXACT_UNITS, Values, uniform
from fdabnn_deploy.numerics.weight_grids import Gridded, split_to_grid, to_grid
from fdabnn_deploy.numerics.workbench import Workbench
from fdabnn_deploy.ops import (
    Affine,
    AvgPool2d,
    BinaryConv2d,
    BinaryLinear,
    Clamp,
    Conv2d,
    GlobalAvgPool,
    GlobalSum,
    Input,
    Linear,
    Op,
    PRelu,
    Relu,
    RoundToGrid,
    Saturate,
    Softmax,
    Sub,
)
from fdabnn_deploy.ops.base import DoubleArray

MARGIN = 1.5
"""By which seen ranges are widened: unseen pictures go a little further."""

SIGN_ERROR = 2.0**-20
"""Relative error of a float layer in front of signs from which on it gets a further part."""

LOGIT_ERROR = 2.0**-11
"""The same where no sign follows: there an error stays as small as it is."""

INPUT_BITS = 24
"""Of graph inputs: the rounding only keeps them away from the denormal numbers."""

LARGEST_INPUT = 2.0**40
"""Beyond, graph inputs are cut off whatever the samples hold."""

FINEST_GRID = 110
"""Grids up to here keep every nonzero value well above the denormal numbers, `2^-126`."""

KEPT_BITS = 30
"""What a tensor keeps below its largest possible magnitude where its grid has become too fine."""

LARGEST = 2.0**100
"""Magnitudes up to here cannot overflow in the next operator."""

NEGLIGIBLE = 2.0**-60
"""Parameters below this count as 0, which keeps grids and exponents small."""

OTHERWISE = "; export with --numerics float to do without the promise of equal bits"


class Cutter:
    """Puts limits and grids in front of reductions, chosen here or taken from a record.

    Args:
        bench: the graph under construction.
        recorded: cuts to take instead of choosing, or None.

    Attributes:
        cuts: made so far, by the name of the reduction or input.
        rows: for reports.
    """

    def __init__(self, bench: Workbench, recorded: dict[str, Cut] | None) -> None:
        self.bench = bench
        self.cuts: dict[str, Cut] = {}
        self.rows: list[GridRow] = []
        self._recorded = recorded

    def decide(self, node: Node, chosen: Callable[[], tuple[Cut, float]]) -> tuple[Cut, float | None]:
        """The cut of a reduction or input and its predicted error.

        Raises:
            ModelRefusedError: the record has none for it.
        """
        cut, error = self._from_record(node) if self._recorded is not None else chosen()
        self.cuts[node.name] = cut
        return cut, error

    def _from_record(self, node: Node) -> tuple[Cut, None]:
        assert self._recorded is not None
        if node.name not in self._recorded:
            raise ModelRefusedError(
                f"the recorded numerics say nothing about {node.name}: they belong to another model or version; export the model again"
            )
        return self._recorded.pop(node.name), None

    def check_finished(self) -> None:
        """Makes sure that a record was of this graph.

        Raises:
            ModelRefusedError: it has cuts that nothing asked for.
        """
        if self._recorded:
            raise ModelRefusedError(
                f"the recorded numerics are about {next(iter(self._recorded))}, which this model has not: "
                "they belong to another model or version; export the model again"
            )

    def limit(self, node: Node, cut: Cut) -> str:
        """Emits the limits of a reduction's operand where they are not proven anyway; returns the limited tensor."""
        bench, name = self.bench, self.bench.name(node.inputs[0])
        bounds = bench.bounds(name)
        if np.any(bounds.low < cut.low) or np.any(bounds.high > cut.high):
            return bench.add(node, Clamp(cut.low, cut.high), [name], "limited")
        return name

    def round(self, node: Node, cut: Cut, limited: str) -> str:
        """Emits the rounding of a limited operand; returns the tensor on the grid."""
        if cut.exponent is not None and self.bench.bounds(limited).grid > cut.exponent:
            return self.bench.add(node, RoundToGrid(cut.exponent), [limited], "on_grid")
        return limited

    def note(
        self,
        node: Node,
        cut: Cut,
        operand: Values,
        error: float | None,
        clipped: float | None,
        weight_bits: int | None,
    ) -> None:
        """Adds a reduction to the report."""
        row = GridRow(
            tensor=node.name,
            module=node.module,
            kind=node.op.kind,
            low=float(operand.low.min()),
            high=float(operand.high.max()),
            exponent=operand.grid,
            rounded=cut.exponent is not None,
            parts=cut.parts,
            weight_bits=weight_bits,
            error=error,
            clipped=clipped,
        )
        self.rows.append(row)


_LAYERS = (Conv2d, Linear, BinaryConv2d, BinaryLinear)

Rule = Callable[[Cutter, Node], None]


def rule_for(op: Op) -> Rule:
    """The rule of an operator; most need no change but that of what they read."""
    return _RULES.get(type(op), _keep)


def _input(cutter: Cutter, node: Node) -> None:
    bench = cutter.bench
    assert isinstance(node.op, Input)
    # Nothing is known of an input but that it is float32, and not even that it is a number.
    largest = float(np.finfo(np.float32).max)
    bench.feed(node, uniform(-largest, largest, 149, node.op.shape[0]))

    def choice() -> tuple[Cut, float]:
        margin = 1.0 if bench.has_range("input") else MARGIN
        low, high = limits(bench.observed(node.name), bench.bounds(node.name), margin)
        low, high = max(low, -LARGEST_INPUT), min(high, LARGEST_INPUT)
        return Cut(low, high, INPUT_BITS - math.frexp(max(abs(low), abs(high)))[1]), 0.0

    cut, _ = cutter.decide(node, choice)
    limited = bench.add(node, Saturate(cut.low, cut.high), [node.name], "limited")
    assert cut.exponent is not None
    bench.stand_in(node.name, bench.add(node, RoundToGrid(cut.exponent), [limited], "on_grid"))


def _float_layer(cutter: Cutter, node: Node) -> None:
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
    operand = cutter.round(node, cut, limited)
    bounds = bench.bounds(operand)
    if cut.parts == 1:
        gridded = to_grid(weight, bias, bounds.magnitude, bounds.grid)
        bench.add(node, _with_parameters(op, gridded.weight, gridded.bias), [operand])
        bits = _bits(gridded)
    else:
        split = split_to_grid(weight, bias, bounds.magnitude, bounds.grid)
        bits = int((split.fine.exponents - split.coarse.exponents).min()) + _bits(split.coarse)
        coarse = bench.add(
            node, _with_parameters(op, split.coarse.weight, split.coarse.bias), [operand], "coarse"
        )
        # Differences, because runtimes fuse additions into convolutions (see `guard_sums`).
        fine = bench.add(node, _with_parameters(op, -split.fine.weight, -split.fine.bias), [operand], "fine")
        if cut.parts == 3:
            assert cut.exponent is not None
            rest = bench.add(node, Sub(), [limited, operand], "remainder")
            exponent = fine_exponent(bounds.magnitude, cut.exponent)
            if bench.bounds(rest).grid > exponent:
                rest = bench.add(node, RoundToGrid(exponent), [rest], "remainder_on_grid")
            rest = bench.add(
                node, _with_parameters(op, split.coarse.weight, 0 * bias), [rest], "of_remainder"
            )
            fine = bench.add(node, Sub(), [fine, rest], "fine_sum")
        bench.add(node, Sub(), [coarse, fine])
    cutter.note(node, cut, bounds, error, clipped, bits)


def _parameters(op: Conv2d | Linear) -> tuple[DoubleArray, DoubleArray]:
    bias = np.zeros(len(op.weight)) if op.bias is None else op.bias.astype(np.float64)
    return op.weight.astype(np.float64), bias


def _with_parameters(op: Conv2d | Linear, weight: DoubleArray, bias: DoubleArray) -> Op:
    return replace(
        op, weight=weight.astype(np.float32), bias=bias.astype(np.float32) if np.any(bias) else None
    )


def _bits(gridded: Gridded) -> int:
    rows = np.abs(gridded.weight).reshape(len(gridded.weight), -1).max(axis=1)
    used = rows > 0
    if not np.any(used):
        return 0
    return int(np.ceil(np.log2(np.ldexp(rows[used], gridded.exponents[used].astype(np.int32)) + 1)).min()) + 1


def _affine(cutter: Cutter, node: Node) -> None:
    bench, op = cutter.bench, node.op
    assert isinstance(op, Affine)
    source = bench.name(node.inputs[0])
    scale, offset = (np.where(np.abs(v) < NEGLIGIBLE, 0.0, v) for v in (op.scale, op.offset))
    layer = bench.op(source)
    if isinstance(layer, BinaryConv2d | BinaryLinear):
        # Runtimes fold such an affine into the layer: m w on the grid of m, and `K |m| + |b|` bounds every partial sum.
        gridded = to_grid(scale[:, None], offset, layer.taps, 0)
        if not (np.array_equal(gridded.weight[:, 0], scale) and np.array_equal(gridded.bias, offset)):
            # The grid leaves `24 - log2 K` bits.
            source = _held(bench, node, source, math.inf)
    elif isinstance(layer, Relu | Clamp) and isinstance(bench.op_before(source), _LAYERS):
        # LCE makes the activation a part of the layer first, and the affine then.
        source = _held(bench, node, source, 1.0)
    _pointwise(cutter, node, Affine(scale, offset), [source])


def _held(bench: Workbench, node: Node, name: str, above: float) -> str:
    """Puts a clamp in between that changes no value, so that no runtime folds what follows into the layer in front.

    A limit below all values does; `above` is infinite, or 1 for an upper limit as well. Limits are powers of two from 8 on, which no
    runtime has an activation for.
    """
    limit = 2.0 ** max(3, math.frexp(bench.bounds(name).magnitude)[1])
    return bench.add(node, Clamp(-limit, above * limit), [name], "held")


def _prelu(cutter: Cutter, node: Node) -> None:
    assert isinstance(node.op, PRelu)
    if np.all(node.op.slope == 1):
        # It changes nothing, and TensorFlow drops it: what stands behind it has to know what stands in front.
        cutter.bench.stand_in(node.name, cutter.bench.name(node.inputs[0]))
        return
    slope = np.where(np.abs(node.op.slope) < NEGLIGIBLE, np.float32(0), node.op.slope)
    _pointwise(cutter, node, PRelu(slope), [cutter.bench.name(node.inputs[0])])


def _keep(cutter: Cutter, node: Node) -> None:
    _pointwise(cutter, node, node.op, [cutter.bench.name(name) for name in node.inputs])


def _pointwise(cutter: Cutter, node: Node, op: Op, inputs: list[str]) -> None:
    """Adds an operator that rounds once or not at all, with what keeps its values within float32's normal numbers."""
    bench = cutter.bench
    bounds = _bounds(bench, op, inputs)
    if bounds.grid > FINEST_GRID:
        inputs = [_coarser(bench, node, name) for name in inputs]
        bounds = _bounds(bench, op, inputs)
    if bounds.grid > FINEST_GRID or bounds.magnitude > LARGEST * 2**20:
        raise ModelRefusedError(
            f"{node.name} ({op.kind} in module '{node.module}'): its values may be as small as 2^-{bounds.grid} and as large as "
            f"{bounds.magnitude:.1e}, beyond what float32 computes alike everywhere: rescale its parameters"
            + OTHERWISE
        )
    if bounds.magnitude > LARGEST:
        inner = bench.add(node, op, inputs, "unlimited")
        bench.add(node, Clamp(-LARGEST, LARGEST), [inner])
    else:
        bench.add(node, op, inputs)


def _bounds(bench: Workbench, op: Op, inputs: list[str]) -> Values:
    shapes = [bench.shape(name) for name in inputs]
    return propagate(op, [bench.bounds(name) for name in inputs], shapes, op.infer(*shapes))


def _coarser(bench: Workbench, node: Node, name: str) -> str:
    """Rounds a tensor whose grid is finer than `KEPT_BITS` below its largest magnitude."""
    bounds = bench.bounds(name)
    exponent = KEPT_BITS - math.frexp(bounds.magnitude)[1]
    if bounds.grid <= exponent:
        return name
    return bench.add(node, RoundToGrid(exponent), [name], "coarser")


def _pool_operand(cutter: Cutter, node: Node, area: int) -> str:
    """The operand of a pool on a grid on which a sum of `area` values is exact."""
    bench = cutter.bench
    bounds = bench.bounds(bench.name(node.inputs[0]))

    def choice() -> tuple[Cut, float]:
        if bounds.units * area < EXACT_UNITS:
            return Cut(float(bounds.low.min()), float(bounds.high.max()), None), 0.0
        seen: Observed = bench.observed(node.inputs[0])
        low, high = limits(seen, bounds, MARGIN)
        largest = max(abs(low), abs(high))
        exponent = math.floor(math.log2((EXACT_UNITS - 1) / area / largest))
        while math.ceil(math.ldexp(largest, exponent)) * area >= EXACT_UNITS:
            exponent -= 1
        step = 2.0**-exponent
        return Cut(math.floor(low / step) * step, math.ceil(high / step) * step, exponent), 0.0

    cut, error = cutter.decide(node, choice)
    clipped = bench.clipped(bench.name(node.inputs[0]), cut.low, cut.high)
    operand = cutter.round(node, cut, cutter.limit(node, cut))
    cutter.note(node, cut, bench.bounds(operand), error, clipped, None)
    return operand


def _avg_pool(cutter: Cutter, node: Node) -> None:
    bench, op = cutter.bench, node.op
    assert isinstance(op, AvgPool2d)
    area = math.prod(op.kernel)
    if not op.count_include_pad and any(op.padding):
        raise ModelRefusedError(
            f"{node.name} (average pool in module '{node.module}') divides by the number of taps inside the picture, which runtimes round "
            "differently: use count_include_pad=True or no padding" + OTHERWISE
        )
    operand = _pool_operand(cutter, node, area)
    if area & (area - 1) == 0:
        bench.add(node, op, [operand])
        return
    channels = bench.shape(operand)[1]
    ones = np.ones((channels, 1, *op.kernel), dtype=np.float32)
    sums = bench.add(node, Conv2d(ones, None, op.stride, op.padding, groups=channels), [operand], "sums")
    bench.add(node, _divided(area, channels), [_held(bench, node, sums, math.inf)])


def _global_avg_pool(cutter: Cutter, node: Node) -> None:
    bench, op = cutter.bench, node.op
    assert isinstance(op, GlobalAvgPool)
    area = math.prod(bench.shape(bench.name(node.inputs[0]))[2:])
    operand = _pool_operand(cutter, node, area)
    if area & (area - 1) == 0:
        bench.add(node, op, [operand])
        return
    total = bench.add(node, GlobalSum(op.keepdims), [operand], "sum")
    bench.add(node, _divided(area, bench.shape(total)[1]), [total])


def _divided(area: int, channels: int) -> Affine:
    return Affine(np.full(channels, 1 / area), np.zeros(channels))


def _softmax(cutter: Cutter, node: Node) -> None:
    raise ModelRefusedError(
        f"{node.name} (softmax in module '{node.module}'): exponentials differ between runtimes; export the model without it, its logits "
        "rank the classes alike" + OTHERWISE
    )


_RULES: dict[type[Op], Rule] = {
    Input: _input,
    Conv2d: _float_layer,
    Linear: _float_layer,
    Affine: _affine,
    PRelu: _prelu,
    AvgPool2d: _avg_pool,
    GlobalAvgPool: _global_avg_pool,
    Softmax: _softmax,
}
