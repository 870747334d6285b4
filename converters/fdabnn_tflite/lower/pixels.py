"""Bytes of images."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import CentredPixels
from fdabnn_deploy.ir.ops.pixels import CENTRE
from fdabnn_tflite.emitter import Emitter
from fdabnn_tflite.lower.lowerings import lowers
from fdabnn_tflite.tensor_layout import NHWC

FLOAT = 1
"""Of TensorFlow's `DataType`."""


@lowers(CentredPixels)
def lower_centred_pixels(emitter: Emitter, node: Node, op: CentredPixels) -> None:
    """`Cast`, `AddV2`."""
    floats = emitter.emit("Cast", x=emitter.nhwc(node.inputs[0]), DstT=FLOAT)
    emitter.define(node.name, emitter.emit("AddV2", x=floats, y=np.float32(-CENTRE)), NHWC)
