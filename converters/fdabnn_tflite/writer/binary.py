"""How signs and binary layers of a function become LCE's operators (Larq Compute Engine 0.16.0).

A binary layer takes in a scale and an offset per channel, or a ReLU, that nobody else stands behind. Where only signs are read of it,
it writes them itself, by comparing the number of differing bits p with a threshold: `y(p) = (K - 2p) m + b`, rounded as the graph
rounds, falls with p where m > 0; where m < 0 it rises, and the layer has the opposite weights, so that p becomes K - p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.native.reference import pack
from fdabnn_tflite.writer.function import Op, Value
from fdabnn_tflite.writer.simplify import Function

WORD = 32


@dataclass(frozen=True)
class BinaryLayer:
    """A binary convolution with what it takes in.

    Attributes:
        op: the convolution.
        scale: float32 [O] or None.
        offset: likewise.
        relu: whether it ends in a ReLU.
        inside: the operators that it takes in.
        result: the tensor that it makes.
        packed: whether it makes the signs of that tensor, as bits.
    """

    op: Op
    scale: FloatArray | None
    offset: FloatArray | None
    relu: bool
    inside: tuple[Op, ...]
    result: Value
    packed: bool

    @property
    def taps(self) -> int:
        """K, the number of products per value."""
        return int(np.prod(self.op.attributes["weight"].shape[:3]))

    def packed_weights(self) -> NDArray[np.int32]:
        """Words [O, height, width, words] of bits, set where a weight is -1."""
        bits = self.op.attributes["weight"].transpose(3, 0, 1, 2) < 0
        if self.packed and self.scale is not None:
            bits = bits ^ (self.scale < 0)[:, None, None, None]
        return pack(bits).view(np.int32)

    def thresholds(self) -> NDArray[np.int32]:
        """Per channel the largest p whose sign is +, -1 where there is none."""
        channels = self.op.attributes["weight"].shape[3]
        low, high = np.full(channels, -1, np.int64), np.full(channels, self.taps, np.int64)
        while np.any(low < high):
            middle = (low + high + 1) // 2
            plus = ~(self._value(middle) < 0)
            low, high = np.where(plus, middle, low), np.where(plus, high, middle - 1)
        return low.astype(np.int32)

    def _value(self, differing: NDArray[np.int64]) -> FloatArray:
        """y(p) per channel, p counted with the weights of `packed_weights`."""
        value = (self.taps - 2 * differing).astype(np.float32)
        if self.scale is not None:
            value = np.where(self.scale < 0, -value, value) * self.scale
        if self.offset is not None:
            value = value + self.offset
        found: FloatArray = np.maximum(value, np.float32(0)) if self.relu else value
        return found


class BinaryPlan:
    """Which signs are bits, and what each binary layer takes in.

    Args:
        function: simplified.

    Attributes:
        layers: by the name of the convolution.
        inside: operators that binary layers take in.
    """

    def __init__(self, function: Function) -> None:
        self._readers, self._outputs = function.readers(), set(function.outputs)
        self.layers = {op.name: self._layer(op) for op in function.ops if op.kind == "BinaryConv"}
        self.inside = {op.name for layer in self.layers.values() for op in layer.inside}

    def is_read_as_floats(self, sign: Op) -> bool:
        """Whether anybody but binary layers reads a sign."""
        readers = self._readers[sign.result]
        return sign.result in self._outputs or any(reader.kind != "BinaryConv" for reader in readers)

    def is_read_as_bits(self, sign: Op) -> bool:
        """Whether a binary layer reads a sign."""
        return any(reader.kind == "BinaryConv" for reader in self._readers[sign.result])

    def is_bits(self, value: Value) -> bool:
        """Whether a sign that is bits is all that becomes of a tensor, perhaps behind max-pools."""
        reader = self._only_reader(value)
        if reader is None:
            return False
        if reader.kind == "MaxPool":
            return "activation" not in reader.attributes and self.is_bits(reader.result)
        return reader.kind == "Sign" and self.is_read_as_bits(reader)

    def _only_reader(self, value: Value) -> Op | None:
        readers = self._readers[value]
        return readers[0] if len(readers) == 1 and value not in self._outputs else None

    def _layer(self, op: Op) -> BinaryLayer:
        channels, zeros = op.result.shape[-1], op.attributes["same"]
        result, inside = op.result, list[Op]()
        found: dict[str, FloatArray] = {}
        for kind in ("Mul", "AddV2"):
            reader = self._only_reader(result)
            values = None if reader is None or reader.kind != kind else _per_channel(reader, channels)
            if reader is not None and values is not None:
                found[kind] = values
                inside.append(reader)
                result = reader.result
        reader = self._only_reader(result)
        relu = reader is not None and reader.kind == "Relu" and not found and not zeros
        if reader is not None and relu:
            inside.append(reader)
            result = reader.result
        packed = not zeros and self.is_bits(result)
        return BinaryLayer(op, found.get("Mul"), found.get("AddV2"), relu, tuple(inside), result, packed)


def _per_channel(op: Op, channels: int) -> FloatArray | None:
    """The constant of an operator as one number per channel, None where it is something else."""
    constant: Value | Array = op.inputs[1]
    if isinstance(constant, Value) or "activation" in op.attributes or not isinstance(op.inputs[0], Value):
        return None
    if constant.size == 1:
        return np.full(channels, constant.item(), np.float32)
    if constant.size != channels or constant.shape[-1] != channels:
        return None
    return constant.reshape(-1)
