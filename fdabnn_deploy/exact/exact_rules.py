"""How each kind of operator becomes exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.float_layer import float_layer
from fdabnn_deploy.exact.fusion_hazards import ACTIVATIONS, BINARY_LAYERS, FLOAT_LAYERS, LAYERS
from fdabnn_deploy.exact.graph_builder import GraphBuilder
from fdabnn_deploy.exact.operand_grids import MARGIN, Cutter
from fdabnn_deploy.exact.pixel_layer import border_offset, pixel_sum
from fdabnn_deploy.exact.plan import Observed, limits
from fdabnn_deploy.exact.record import Cut
from fdabnn_deploy.exact.weight_grids import to_grid
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.ir.ranges import EXACT_UNITS, Values, uniform

INPUT_BITS = 24
"""Of graph inputs: the rounding only keeps them away from the denormal numbers."""

LARGEST_INPUT = 2.0**40
"""Beyond, graph inputs are cut off whatever the samples hold."""

FINEST_GRID = 110
"""Grids up to here keep every nonzero value well above the denormal numbers, `2^-126`."""

KEPT_BITS = 30
"""Bits that a tensor keeps below its largest possible magnitude where its grid has become too fine."""

LARGEST = 2.0**100
"""Magnitudes up to here cannot overflow in the next operator."""

NEGLIGIBLE = 2.0**-60
"""Parameters below this count as 0, which keeps grids and exponents small."""

OTHERWISE = "; export with --numerics float to do without the promise of equal bits"


Rule = Callable[[Cutter, Node], None]


def rule_for(op: Op) -> Rule:
    """The rule of an operator; most need no change but that of what they read."""
    return _RULES.get(type(op), _keep)


def _input(cutter: Cutter, node: Node) -> None:
    builder = cutter.builder
    assert isinstance(node.op, ops.Input)
    # Nothing is known of floats but that they are float32, and not even that they are numbers.
    largest = float(np.finfo(np.float32).max)
    if node.op.pixels:
        builder.feed(node, uniform(0, 255, 0, node.op.shape[0]))
        return
    builder.feed(node, uniform(-largest, largest, 149, node.op.shape[0]))

    def choice() -> tuple[Cut, float]:
        margin = 1.0 if builder.has_range("input") else MARGIN
        low, high = limits(builder.observed(node.name), builder.bounds(node.name), margin)
        low, high = max(low, -LARGEST_INPUT), min(high, LARGEST_INPUT)
        return Cut(low, high, INPUT_BITS - math.frexp(max(abs(low), abs(high)))[1]), 0.0

    cut, _ = cutter.decide(node, choice)
    limited = builder.add(node, ops.Saturate(cut.low, cut.high), [node.name], "limited")
    assert cut.exponent is not None
    builder.stand_in(node.name, builder.add(node, ops.RoundToGrid(cut.exponent), [limited], "on_grid"))


def _affine(cutter: Cutter, node: Node) -> None:
    builder, op = cutter.builder, node.op
    assert isinstance(op, ops.Affine)
    source = builder.name(node.inputs[0])
    scale, offset = (np.where(np.abs(v) < NEGLIGIBLE, 0.0, v) for v in (op.scale, op.offset))
    layer = builder.op(source)
    if isinstance(layer, BINARY_LAYERS):
        # FOLD_BINARY_AFFINE: the folded weights m w are on the grid of m, and `K |m| + |b|` bounds every partial sum.
        gridded = to_grid(scale[:, None], offset, layer.taps, 0)
        if not (np.array_equal(gridded.weight[:, 0], scale) and np.array_equal(gridded.bias, offset)):
            # The grid leaves `24 - log2 K` bits.
            source = builder.barrier(node, source, math.inf)
    elif isinstance(layer, (*FLOAT_LAYERS, ops.PositionAffine, ops.BorderOffset)):
        # FOLD_AFFINE: the sums are exact with the layer's own weights only. Others read it, too, or the passes had folded this.
        # Converters fold constants by position into one that follows them, as well.
        source = builder.barrier(node, source, math.inf)
    elif isinstance(layer, ACTIVATIONS) and isinstance(builder.op_before(source), LAYERS):
        # FOLD_ACTIVATION
        source = builder.barrier(node, source, 1.0)
    _pointwise(cutter, node, ops.Affine(scale, offset), [source])


def _centred_pixels(cutter: Cutter, node: Node) -> None:
    builder = cutter.builder
    shifted = builder.add(node, node.op, [builder.name(node.inputs[0])], "shifted")
    # MOVE_ADDEND
    builder.stand_in(node.name, builder.barrier(node, shifted, math.inf))


def _pixel_conv(cutter: Cutter, node: Node) -> None:
    builder, op = cutter.builder, node.op
    assert isinstance(op, ops.PixelConv2d)
    source = pixel_sum(cutter, node)
    if isinstance(builder.op(source), FLOAT_LAYERS):
        # FOLD_AFFINE, ACCUMULATE
        source = builder.barrier(node, source, math.inf)
    offset = border_offset(op, builder.shape(builder.name(node.inputs[0])), builder.shape(source))
    if offset.offset[0].size > 1:
        _pointwise(cutter, node, offset, [source])
    else:
        shift = offset.offset.reshape(-1).astype(np.float64)
        _pointwise(cutter, node, ops.Affine(np.ones(len(shift)), shift), [source])


def _position_affine(cutter: Cutter, node: Node) -> None:
    builder, op = cutter.builder, node.op
    assert isinstance(op, ops.PositionAffine)
    source = builder.name(node.inputs[0])
    scale, offset = (np.where(np.abs(v) < NEGLIGIBLE, np.float32(0), v) for v in (op.scale, op.offset))
    _pointwise(cutter, node, ops.PositionAffine(scale, offset), [_apart(builder, node, source)])


def _border_offset(cutter: Cutter, node: Node) -> None:
    builder, op = cutter.builder, node.op
    assert isinstance(op, ops.BorderOffset)
    offset = np.where(np.abs(op.offset) < NEGLIGIBLE, np.float32(0), op.offset)
    source = _apart(builder, node, builder.name(node.inputs[0]))
    _pointwise(cutter, node, replace(op, offset=offset), [source])


def _apart(builder: GraphBuilder, node: Node, source: str) -> str:
    """The operand of a constant by position: converters fold constants in a row into one, and into a layer."""
    if isinstance(builder.op(source), (*LAYERS, ops.Affine, ops.PositionAffine, ops.BorderOffset)):
        return builder.barrier(node, source, math.inf)
    return source


def _prelu(cutter: Cutter, node: Node) -> None:
    assert isinstance(node.op, ops.PRelu)
    if np.all(node.op.slope == 1):
        # It changes nothing, and TensorFlow drops it: what stands behind it has to know what stands in front.
        cutter.builder.stand_in(node.name, cutter.builder.name(node.inputs[0]))
        return
    slope = np.where(np.abs(node.op.slope) < NEGLIGIBLE, np.float32(0), node.op.slope)
    _pointwise(cutter, node, ops.PRelu(slope), [cutter.builder.name(node.inputs[0])])


def _keep(cutter: Cutter, node: Node) -> None:
    _pointwise(cutter, node, node.op, [cutter.builder.name(name) for name in node.inputs])


def _pointwise(cutter: Cutter, node: Node, op: Op, inputs: list[str]) -> None:
    """Adds an operator that rounds once or not at all, with what keeps its values within float32's normal numbers."""
    builder = cutter.builder
    bounds = _bounds(builder, op, inputs)
    if bounds.grid > FINEST_GRID:
        inputs = [_coarser(builder, node, name) for name in inputs]
        bounds = _bounds(builder, op, inputs)
    if bounds.grid > FINEST_GRID or bounds.magnitude > LARGEST * 2**20:
        raise ModelRefusedError(
            f"{node.name} ({op.kind} in module '{node.module}'): its values may be as small as 2^-{bounds.grid} and as large as "
            f"{bounds.magnitude:.1e}, beyond what float32 computes alike on all runtimes: rescale its parameters"
            + OTHERWISE
        )
    if bounds.magnitude > LARGEST:
        inner = builder.add(node, op, inputs, "unlimited")
        builder.add(node, ops.Clamp(-LARGEST, LARGEST), [inner])
    else:
        builder.add(node, op, inputs)


def _bounds(builder: GraphBuilder, op: Op, inputs: list[str]) -> Values:
    shapes = [builder.shape(name) for name in inputs]
    return op.bounds([builder.bounds(name) for name in inputs], shapes, op.infer(*shapes))


def _coarser(builder: GraphBuilder, node: Node, name: str) -> str:
    """Rounds a tensor whose grid is finer than `KEPT_BITS` below its largest magnitude."""
    bounds = builder.bounds(name)
    exponent = KEPT_BITS - math.frexp(bounds.magnitude)[1]
    if bounds.grid <= exponent:
        return name
    return builder.add(node, ops.RoundToGrid(exponent), [name], "coarser")


def _pool_operand(cutter: Cutter, node: Node, area: int) -> str:
    """The operand of a pool on a grid on which a sum of `area` values is exact."""
    builder = cutter.builder
    bounds = builder.bounds(builder.name(node.inputs[0]))

    def choice() -> tuple[Cut, float]:
        if bounds.units * area < EXACT_UNITS:
            return Cut(float(bounds.low.min()), float(bounds.high.max()), None), 0.0
        seen: Observed = builder.observed(node.inputs[0])
        low, high = limits(seen, bounds, MARGIN)
        largest = max(abs(low), abs(high))
        exponent = math.floor(math.log2((EXACT_UNITS - 1) / area / largest))
        while math.ceil(math.ldexp(largest, exponent)) * area >= EXACT_UNITS:
            exponent -= 1
        step = 2.0**-exponent
        return Cut(math.floor(low / step) * step, math.ceil(high / step) * step, exponent), 0.0

    cut, error = cutter.decide(node, choice)
    clipped = builder.clipped(builder.name(node.inputs[0]), cut.low, cut.high)
    operand = cutter.round(node, cut, cutter.limit(node, cut))
    cutter.note(node, cut, builder.bounds(operand), error, clipped, None)
    return operand


def _avg_pool(cutter: Cutter, node: Node) -> None:
    builder, op = cutter.builder, node.op
    assert isinstance(op, ops.AvgPool2d)
    area = math.prod(op.kernel)
    if not op.count_include_pad and any(op.padding):
        raise ModelRefusedError(
            f"{node.name} (average pool in module '{node.module}') divides by the number of taps inside the image, which runtimes round "
            "differently: use count_include_pad=True or no padding" + OTHERWISE
        )
    operand = _pool_operand(cutter, node, area)
    if area & (area - 1) == 0:
        builder.add(node, op, [operand])
        return
    channels = builder.shape(operand)[1]
    ones = np.ones((channels, 1, *op.kernel), dtype=np.float32)
    sums = builder.add(
        node, ops.Conv2d(ones, None, op.stride, op.padding, groups=channels), [operand], "sums"
    )
    builder.add(node, _divided(area, channels), [builder.barrier(node, sums, math.inf)])


def _global_avg_pool(cutter: Cutter, node: Node) -> None:
    builder, op = cutter.builder, node.op
    assert isinstance(op, ops.GlobalAvgPool)
    area = math.prod(builder.shape(builder.name(node.inputs[0]))[2:])
    operand = _pool_operand(cutter, node, area)
    if area & (area - 1) == 0:
        builder.add(node, op, [operand])
        return
    total = builder.add(node, ops.GlobalSum(op.keepdims), [operand], "sum")
    builder.add(node, _divided(area, builder.shape(total)[1]), [total])


def _divided(area: int, channels: int) -> ops.Affine:
    return ops.Affine(np.full(channels, 1 / area), np.zeros(channels))


def _softmax(cutter: Cutter, node: Node) -> None:
    raise ModelRefusedError(
        f"{node.name} (softmax in module '{node.module}'): exponentials differ between runtimes; export the model without it, its logits "
        "rank the classes alike" + OTHERWISE
    )


_RULES: dict[type[Op], Rule] = {
    ops.Input: _input,
    ops.Conv2d: float_layer,
    ops.Linear: float_layer,
    ops.Affine: _affine,
    ops.PositionAffine: _position_affine,
    ops.BorderOffset: _border_offset,
    ops.CentredPixels: _centred_pixels,
    ops.PixelConv2d: _pixel_conv,
    ops.PRelu: _prelu,
    ops.AvgPool2d: _avg_pool,
    ops.GlobalAvgPool: _global_avg_pool,
    ops.Softmax: _softmax,
}
