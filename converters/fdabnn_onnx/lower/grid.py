"""Lowers the operators that round and limit to fixed point, in ONNX."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import RoundToGrid, Saturate
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower.lowerings import lowers


@lowers(Saturate)
def lower_saturate(to: Emitter, node: Node, op: Saturate) -> None:
    """`Where(Less(x, high), x, high)`, then `Where(Greater(., low), ., low)`: `Clip` says nothing about NaN."""
    low = to.parameter(node, "low", np.array(op.low, dtype=np.float32))
    high = to.parameter(node, "high", np.array(op.high, dtype=np.float32))
    inside = to.emit("Less", node, [node.inputs[0], high], part="below_high")
    below = to.emit("Where", node, [inside, node.inputs[0], high], part="at_most_high")
    above = to.emit("Greater", node, [below, low], part="above_low")
    to.emit("Where", node, [above, below, low])


@lowers(RoundToGrid)
def lower_round_to_grid(to: Emitter, node: Node, op: RoundToGrid) -> None:
    """`Mul`, `Round` (halves to even), `Mul`; the products by 1 of a grid of integers are left out."""
    source = node.inputs[0]
    if op.exponent == 0:
        to.emit("Round", node, [source])
        return
    units = to.parameter(node, "units", np.array(op.units))
    step = to.parameter(node, "step", np.array(op.step))
    scaled = to.emit("Mul", node, [source, units], part="in_units")
    rounded = to.emit("Round", node, [scaled], part="rounded")
    to.emit("Mul", node, [rounded, step])
