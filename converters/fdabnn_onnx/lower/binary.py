"""The 1-bit operators in ONNX: a comparison and a choice for the sign, float operators with weights of +-1 for what follows it.

Every value is an integer of magnitude below 2^24, so float32 computes it exactly in any order of summation.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import BinaryConv2d, BinaryLinear, Sign
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower.lowerings import lowers


@lowers(Sign)
def lower_sign(to: Emitter, node: Node, op: Sign) -> None:
    """`Where(Less(x, 0), -1, 1)`: +0, -0 and NaN give +1, where ONNX's `Sign` gives 0, 0 and NaN."""
    negative = to.emit("Less", node, [node.inputs[0], to.scalar("sign/zero", 0)], part="negative")
    to.emit("Where", node, [negative, to.scalar("sign/minus_one", -1), to.scalar("sign/plus_one", 1)])


@lowers(BinaryConv2d)
def lower_binary_conv2d(to: Emitter, node: Node, op: BinaryConv2d) -> None:
    """`Conv`, behind a `Pad` with 1 where taps outside the image count as +1."""
    source = node.inputs[0]
    vertical, horizontal = op.padding
    if op.padding_value != 0 and (vertical or horizontal):
        begin_end = np.array([0, 0, vertical, horizontal] * 2, dtype=np.int64)
        pads = to.parameter(node, "pads", begin_end)
        source = to.emit(
            "Pad", node, [source, pads, to.scalar("sign/plus_one", 1)], part="padded", mode="constant"
        )
        vertical = horizontal = 0
    weight = to.weights(node, "weight", op.weight.astype(np.float32))
    to.emit(
        "Conv",
        node,
        [source, weight],
        kernel_shape=op.weight.shape[2:],
        strides=op.stride,
        pads=[vertical, horizontal] * 2,
        dilations=op.dilation,
        group=op.groups,
    )


@lowers(BinaryLinear)
def lower_binary_linear(to: Emitter, node: Node, op: BinaryLinear) -> None:
    """`Gemm` with the weight as it is stored, [O, C]."""
    weight = to.weights(node, "weight", op.weight.astype(np.float32))
    to.emit("Gemm", node, [node.inputs[0], weight], transB=1)
