"""Lowers the operators that round and limit to fixed point, in TensorFlow."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import RoundToGrid, Saturate
from fdabnn_tflite.emitter import Emitter
from fdabnn_tflite.lower.lowerings import lowers


@lowers(Saturate)
def lower_saturate(emitter: Emitter, node: Node, op: Saturate) -> None:
    """Two comparisons and two `SelectV2`: `Minimum` and `Maximum` of NaN depend on the kernel."""
    tensor, form = emitter.stored(node.inputs[0])
    low, high = np.float32(op.low), np.float32(op.high)
    inside = emitter.emit("Less", x=tensor, y=high)
    below = emitter.emit("SelectV2", condition=inside, t=tensor, e=high)
    above = emitter.emit("Greater", x=below, y=low)
    emitter.define(node.name, emitter.emit("SelectV2", condition=above, t=below, e=low), form)


@lowers(RoundToGrid)
def lower_round_to_grid(emitter: Emitter, node: Node, op: RoundToGrid) -> None:
    """`Mul`, `Round` (halves to even), `Mul`; the products by 1 of a grid of integers are left out."""
    tensor, form = emitter.stored(node.inputs[0])
    if op.exponent == 0:
        emitter.define(node.name, emitter.emit("Round", x=tensor), form)
        return
    rounded = emitter.emit("Round", x=emitter.emit("Mul", x=tensor, y=op.units))
    emitter.define(node.name, emitter.emit("Mul", x=rounded, y=op.step), form)
