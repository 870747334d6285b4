"""Builds the TensorFlow function of a graph in the one form in which LCE's converter makes each binary layer 1-bit.

Every op is named by a number in the order of emission. TFLite's converter names a tensor after the ops that it merged into it, cut
after 50 characters; the highest number among them is the op whose value the tensor has (`op_names`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_tflite.emitter import Emitter, Tensor
from fdabnn_tflite.tensor_layout import Pair

OP_NAME = "n{}_"
"""Ends in a delimiter, because the converter makes equal names unique by digits at their end, and cuts long ones anywhere."""

LARGE = 1 << 20
"""Bytes from which on an array is not written into the function's graph, where TensorFlow copies it about ten times over."""

_OP_NAMES = re.compile(r"n(\d+)_(?!/)")


def op_names(tensor_name: str) -> list[str]:
    """The ops that the converter named a tensor of the file after, in the order of emission."""
    return [OP_NAME.format(number) for number in sorted(map(int, _OP_NAMES.findall(tensor_name)))]


class TensorFlowEmitter(Emitter):
    """The TensorFlow function under construction.

    Args:
        graph: to be lowered.
        flipped: whether images are stored mirrored (see `layout`).
        raw_ops: the module `tensorflow.raw_ops`.
        constant: makes a tensor of a large array; see `LARGE`.
    """

    def __init__(
        self, graph: Graph, flipped: bool, raw_ops: Any, constant: Callable[[Array], Tensor]
    ) -> None:
        super().__init__(graph, flipped)
        self._raw_ops, self._constant = raw_ops, constant
        self._count = 0

    def emit(self, kind: str, **arguments: Any) -> Tensor:
        """See `Emitter.emit`."""
        name = OP_NAME.format(self._count)
        self._count += 1
        if self.node is not None:
            self.owners[name] = self.node
        for key, value in arguments.items():
            if isinstance(value, np.ndarray) and value.nbytes >= LARGE:
                arguments[key] = self._constant(value)
        return getattr(self._raw_ops, kind)(name=name, **arguments)

    def sign(self, tensor: Tensor) -> Tensor:
        """See `Emitter.sign`."""
        key = tensor.op.name
        if key not in self.signs:
            negative = self.emit("Less", x=tensor, y=np.float32(0))
            self.signs[key] = self.emit("SelectV2", condition=negative, t=np.float32(-1), e=np.float32(1))
        return self.signs[key]

    def prelu(self, tensor: Tensor, slope: FloatArray) -> Tensor:
        """`relu(x) + (-slope) relu(-x)`, which the converter makes one `PRELU`."""
        slope = slope.reshape((1,) * (len(tensor.shape) - 1 - slope.ndim) + slope.shape)
        positive = self.emit("Relu", features=tensor)
        negative = self.emit("Relu", features=self.emit("Neg", x=tensor))
        return self.emit("AddV2", x=positive, y=self.emit("Mul", x=-slope, y=negative))

    def binary_conv(
        self,
        signs: Tensor,
        weight: FloatArray,
        stride: Pair,
        dilation: Pair,
        *,
        same: bool,
        ones: tuple[Pair, Pair] | None,
    ) -> Tensor:
        """A `Conv2D`, behind a `PadV2` where ones are padded."""
        return self.emit(
            "Conv2D",
            input=signs if ones is None else self.pad(signs, ones, 1.0),
            filter=weight,
            strides=[1, *stride, 1],
            dilations=[1, *dilation, 1],
            padding="SAME" if same else "VALID",
        )
