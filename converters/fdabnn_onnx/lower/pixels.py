"""Bytes of images in ONNX."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import CentredPixels
from fdabnn_deploy.ir.ops.pixels import CENTRE
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower.lowerings import lowers


@lowers(CentredPixels)
def lower_centred_pixels(to: Emitter, node: Node, op: CentredPixels) -> None:
    """`Cast`, `Sub`; of images with their channels last a `Transpose` of the bytes in front."""
    source = node.inputs[0]
    if to.channels_last:
        source = to.emit("Transpose", node, [source], part="channels_first", perm=[0, 3, 1, 2])
    floats = to.emit("Cast", node, [source], part="floats", to=TensorProto.FLOAT)
    to.emit("Sub", node, [floats, to.parameter(node, "centre", np.array(CENTRE, np.float32))])
