"""The function that a graph is lowered to, as operators named like TensorFlow's, with the shapes of their results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import BATCH, Array, FloatArray, Shape
from fdabnn_tflite.emitter import Emitter
from fdabnn_tflite.format_limits import check_shape, named
from fdabnn_tflite.tensor_layout import Pair


@dataclass(eq=False)
class Op:
    """An operator of the function.

    Attributes:
        kind: of TensorFlow's raw operators, or `Sign`, `PRelu`, `BinaryConv`.
        name: unique.
        inputs: tensors and constants.
        attributes: everything else.
        node: of the graph, that it was emitted for.
        result: its tensor.
    """

    kind: str
    name: str
    inputs: list[Value | Array]
    attributes: dict[str, Any]
    node: Node | None
    result: Value = field(init=False)


@dataclass(eq=False)
class Value:
    """A tensor of the function.

    Attributes:
        op: that makes it.
        shape: with the batch in front.
        aliases: names of operators whose results were the same.
    """

    op: Op
    shape: Shape
    aliases: list[str] = field(default_factory=list)


OPERANDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("AddV2", "Sub", "Mul", "Maximum", "Minimum", "Less", "Greater"), ("x", "y")),
    **dict.fromkeys(("Conv2D", "DepthwiseConv2dNative"), ("input", "filter")),
    **dict.fromkeys(("Mean", "Sum"), ("input", "axis")),
    **dict.fromkeys(("Softmax", "LogSoftmax"), ("logits",)),
    **dict.fromkeys(("Relu", "LeakyRelu"), ("features",)),
    **dict.fromkeys(("Round", "Sign"), ("x",)),
    **dict.fromkeys(("MaxPool", "DepthToSpace"), ("input",)),
    "AvgPool": ("value",),
    "BinaryConv": ("signs",),
    "Cast": ("x",),
    "GatherV2": ("params", "indices"),
    "MatMul": ("a", "b"),
    "PRelu": ("x", "slope"),
    "Pad": ("input", "paddings"),
    "PadV2": ("input", "paddings", "constant_values"),
    "Reshape": ("tensor", "shape"),
    "ResizeNearestNeighbor": ("images", "size"),
    "ReverseV2": ("tensor", "axis"),
    "SelectV2": ("condition", "t", "e"),
    "StridedSlice": ("input", "begin", "end", "strides"),
    "Transpose": ("x", "perm"),
}
"""The arguments that are tensors, in the order of TFLite's inputs; all others are attributes."""


class Recorder(Emitter):
    """Records what a graph is lowered to.

    Args:
        graph: to be lowered.
        flipped: whether images are stored mirrored (see `layout`).
        batch: of every tensor.

    Attributes:
        ops: in the order of emission.
    """

    def __init__(self, graph: Graph, flipped: bool, batch: int) -> None:
        super().__init__(graph, flipped)
        self.ops: list[Op] = []
        self._batch = batch
        self._known: dict[Hashable, Value] = {}

    def argument(self, shape: Shape, *, pixels: bool = False) -> Value:
        """An input of the file; of bytes or of floats."""
        return self._record("Input", [], {"pixels": pixels}, (self._batch, *shape[1:]))

    def emit(self, kind: str, **arguments: Any) -> Value:
        """Records an operator; equal ones are recorded once."""
        if kind == "ConcatV2":
            inputs, attributes = list(arguments["values"]), {"axis": int(arguments["axis"])}
        else:
            names = OPERANDS[kind]
            inputs = [arguments[name] for name in names]
            attributes = {name: value for name, value in arguments.items() if name not in names}
        inputs = [value if isinstance(value, Value) else np.asarray(value) for value in inputs]
        key = (
            kind,
            *map(_identity, inputs),
            *sorted((name, _text(value)) for name, value in attributes.items()),
        )
        if key not in self._known:
            shape = self._shape(kind, inputs, attributes)
            self._known[key] = self._record(kind, inputs, attributes, shape)
        return self._known[key]

    def sign(self, tensor: Value) -> Value:
        """See `Emitter.sign`."""
        if tensor.op.name not in self.signs:
            self.signs[tensor.op.name] = self.emit("Sign", x=tensor)
        found: Value = self.signs[tensor.op.name]
        return found

    def prelu(self, tensor: Value, slope: FloatArray) -> Value:
        """See `Emitter.prelu`."""
        return self.emit("PRelu", x=tensor, slope=slope)

    def binary_conv(
        self,
        signs: Value,
        weight: FloatArray,
        stride: Pair,
        dilation: Pair,
        *,
        same: bool,
        ones: tuple[Pair, Pair] | None,
    ) -> Value:
        """See `Emitter.binary_conv`."""
        return self.emit(
            "BinaryConv",
            signs=signs,
            weight=weight,
            stride=stride,
            dilation=dilation,
            same=same,
            ones=ones is not None,
        )

    def _record(
        self, kind: str, inputs: list[Value | Array], attributes: dict[str, Any], shape: Shape
    ) -> Value:
        check_shape(shape, "an input" if self.node is None else named(self.node))
        op = Op(kind, f"n{len(self.ops)}", inputs, attributes, self.node)
        op.result = Value(op, shape)
        self.ops.append(op)
        return op.result

    def _shape(self, kind: str, inputs: Sequence[Value | Array], attributes: dict[str, Any]) -> Shape:
        if kind == "Reshape":
            return tuple(self._batch if size == BATCH else int(size) for size in np.asarray(inputs[1]))
        rule = _SHAPES.get(kind)
        if rule is None:
            return tuple(np.broadcast_shapes(*(value.shape for value in inputs)))
        return rule(inputs, attributes)


def _identity(value: Value | Array) -> Hashable:
    if isinstance(value, Value):
        return value.op.name
    return value.shape, str(value.dtype), hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest()


def _text(value: Any) -> str:
    return str(_identity(value)) if isinstance(value, np.ndarray) else repr(value)


Inputs = Sequence["Value | Array"]
Attributes = dict[str, Any]


def _same(inputs: Inputs, attributes: Attributes) -> Shape:
    return inputs[0].shape


def _windows(shape: Shape, kernel: Pair, stride: Pair, dilation: Pair, same: bool) -> tuple[int, int]:
    """Height and width behind windows with the padding SAME or VALID."""
    sizes = []
    for size, length, step, spread in zip(shape[1:3], kernel, stride, dilation, strict=True):
        extent = 1 if same else (length - 1) * spread + 1
        sizes.append((size - extent) // step + 1)
    return sizes[0], sizes[1]


def _conv(inputs: Inputs, attributes: Attributes) -> Shape:
    image, kernels = (value.shape for value in inputs)
    _, *stride, _ = attributes["strides"]
    _, *dilation, _ = attributes["dilations"]
    size = _windows(
        image,
        (kernels[0], kernels[1]),
        (stride[0], stride[1]),
        (dilation[0], dilation[1]),
        attributes["padding"] == "SAME",
    )
    return (image[0], *size, kernels[3])


def _depthwise(inputs: Inputs, attributes: Attributes) -> Shape:
    kernels = inputs[1].shape
    return (*_conv(inputs, attributes)[:3], kernels[2] * kernels[3])


def _binary_conv(inputs: Inputs, attributes: Attributes) -> Shape:
    (image,), kernels = (value.shape for value in inputs), attributes["weight"].shape
    same = attributes["same"] or attributes["ones"]
    return (
        image[0],
        *_windows(image, (kernels[0], kernels[1]), attributes["stride"], attributes["dilation"], same),
        kernels[3],
    )


def _pool(inputs: Inputs, attributes: Attributes) -> Shape:
    image = inputs[0].shape
    (_, *kernel, _), (_, *stride, _) = attributes["ksize"], attributes["strides"]
    same = attributes["padding"] == "SAME"
    return (
        image[0],
        *_windows(image, (kernel[0], kernel[1]), (stride[0], stride[1]), (1, 1), same),
        image[3],
    )


def _pad(inputs: Inputs, attributes: Attributes) -> Shape:
    pairs = np.asarray(inputs[1])
    return tuple(size + int(pair.sum()) for size, pair in zip(inputs[0].shape, pairs, strict=True))


def _slice(inputs: Inputs, attributes: Attributes) -> Shape:
    shape = inputs[0].shape
    begin, end, step = (np.asarray(value) for value in inputs[1:])
    ranges = zip(shape[1:], begin[1:], end[1:], step[1:], strict=True)
    return (shape[0], *(len(range(*slice(b, e, s).indices(size))) for size, b, e, s in ranges))


def _reduce(inputs: Inputs, attributes: Attributes) -> Shape:
    axes = [int(axis) for axis in np.asarray(inputs[1])]
    sizes = [1 if axis in axes else size for axis, size in enumerate(inputs[0].shape)]
    return tuple(size for axis, size in enumerate(sizes) if attributes["keep_dims"] or axis not in axes)


def _gather(inputs: Inputs, attributes: Attributes) -> Shape:
    sizes = list(inputs[0].shape)
    sizes[int(attributes["axis"])] = inputs[1].shape[0]
    return tuple(sizes)


def _concat(inputs: Inputs, attributes: Attributes) -> Shape:
    axis = attributes["axis"]
    sizes = list(inputs[0].shape)
    sizes[axis] = sum(value.shape[axis] for value in inputs)
    return tuple(sizes)


def _depth_to_space(inputs: Inputs, attributes: Attributes) -> Shape:
    batch, height, width, channels = inputs[0].shape
    factor = attributes["block_size"]
    return (batch, height * factor, width * factor, channels // factor**2)


_SHAPES: dict[str, Callable[[Inputs, Attributes], Shape]] = {
    "AvgPool": _pool,
    "BinaryConv": _binary_conv,
    "ConcatV2": _concat,
    "Conv2D": _conv,
    "DepthToSpace": _depth_to_space,
    "DepthwiseConv2dNative": _depthwise,
    "GatherV2": _gather,
    "MatMul": lambda inputs, attributes: (inputs[0].shape[0], inputs[1].shape[1]),
    "MaxPool": _pool,
    "Mean": _reduce,
    "PRelu": _same,
    "Pad": _pad,
    "PadV2": _pad,
    "ResizeNearestNeighbor": lambda inputs, attributes: (
        inputs[0].shape[0],
        *(int(size) for size in np.asarray(inputs[1])),
        inputs[0].shape[3],
    ),
    "ReverseV2": _same,
    "StridedSlice": _slice,
    "Sum": _reduce,
    "Transpose": lambda inputs, attributes: tuple(
        inputs[0].shape[int(axis)] for axis in np.asarray(inputs[1])
    ),
}
"""By kind; all others give the shape to which their operands broadcast."""
