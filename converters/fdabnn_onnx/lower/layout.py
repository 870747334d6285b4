"""Operators that only move values, in ONNX. None of them names the batch size, so they hold for any."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Concat, DepthToSpace, Pad, Permute, Reshape, Slice, UpsampleNearest
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower.lowerings import lowers

MOVERS = frozenset(
    {
        "Pad",
        "Reshape",
        "Transpose",
        "Slice",
        "MaxPool",
        "Identity",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "DepthToSpace",
        "Resize",
    }
)
"""ONNX operators whose results are values of their first operand, those that optimisers make among them; `Pad` has its own value, too."""


@lowers(Pad)
def lower_pad(to: Emitter, node: Node, op: Pad) -> None:
    """`Pad`."""
    before, after = zip((0, 0), *op.pads, strict=True)
    pads = to.parameter(node, "pads", np.array([*before, *after], dtype=np.int64))
    value = to.parameter(node, "value", np.array(op.value, dtype=np.float32))
    to.emit("Pad", node, [node.inputs[0], pads, value], mode="constant")


@lowers(Slice)
def lower_slice(to: Emitter, node: Node, op: Slice) -> None:
    """`Slice` of the dimensions behind the batch."""
    begins, ends, steps = (np.array(values, dtype=np.int64) for values in zip(*op.ranges, strict=True))
    names = [
        to.parameter(node, "begins", begins),
        to.parameter(node, "ends", ends),
        to.parameter(node, "axes", np.arange(1, len(op.ranges) + 1, dtype=np.int64)),
        to.parameter(node, "steps", steps),
    ]
    to.emit("Slice", node, [node.inputs[0], *names])


@lowers(Concat)
def lower_concat(to: Emitter, node: Node, op: Concat) -> None:
    """`Concat` along the channels."""
    to.emit("Concat", node, node.inputs, axis=1)


@lowers(Reshape)
def lower_reshape(to: Emitter, node: Node, op: Reshape) -> None:
    """`Reshape`; the 0 in its target keeps the batch."""
    shape = to.parameter(node, "shape", np.array([0, *op.shape], dtype=np.int64))
    to.emit("Reshape", node, [node.inputs[0], shape])


@lowers(Permute)
def lower_permute(to: Emitter, node: Node, op: Permute) -> None:
    """`Transpose`."""
    to.emit("Transpose", node, node.inputs, perm=[0, *op.order])


@lowers(DepthToSpace)
def lower_depth_to_space(to: Emitter, node: Node, op: DepthToSpace) -> None:
    """`DepthToSpace`, in whose mode CRD the pixels of a block are neighbouring channels."""
    to.emit("DepthToSpace", node, node.inputs, blocksize=op.factor, mode="CRD")


@lowers(UpsampleNearest)
def lower_upsample_nearest(to: Emitter, node: Node, op: UpsampleNearest) -> None:
    """`Resize`, whose place i of the result is `floor(i / factor)` of the operand."""
    scales = to.parameter(node, "scales", np.array([1, 1, *op.factors], dtype=np.float32))
    to.emit(
        "Resize",
        node,
        [node.inputs[0], "", scales],
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
