"""Builds the function of a graph, op by op, and remembers which tensor of it is which tensor of the graph.

The ops are those of TensorFlow, whoever makes them: `TensorFlowEmitter` those of a function that LCE's converter takes,
`writer.function.Recorder` a list that is written to a file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import BATCH, FloatArray, Input, Shape
from fdabnn_tflite.runtime.tensors import Layout
from fdabnn_tflite.tensor_layout import NHWC, Form, Pair, natural_form, stored_shape

Tensor = Any
"""A symbolic tensor with a shape, made by an `op` that has a `name`: a `tf.Tensor`, which has no type information, or a `Value`."""


class Emitter(ABC):
    """The function under construction.

    Args:
        graph: to be lowered.
        flipped: whether images are stored mirrored (see `layout`).

    Attributes:
        places: op name -> the graph tensors that its result is, with their form.
        owners: op name -> the graph node it was emitted for.
        binary_layers: per binary convolution emitted, its op and the name of the graph node.
        binary_convs: the distinct binary convolutions emitted.
        signs: the distinct sign tensors emitted.
        pools: the max-pool results emitted.
    """

    def __init__(self, graph: Graph, flipped: bool) -> None:
        self.graph = graph
        self.flipped = flipped
        self.places: dict[str, list[tuple[str, Form]]] = {}
        self.owners: dict[str, Node] = {}
        self.binary_layers: dict[str, str] = {}
        self.binary_convs: dict[Hashable, Tensor] = {}
        self.signs: dict[str, Tensor] = {}
        self.pools: list[Tensor] = []
        self._values: dict[str, tuple[Tensor, Form]] = {}
        self._converted: dict[tuple[str, Form], Tensor] = {}
        self.node: Node | None = None

    def begin(self, node: Node | None) -> Node | None:
        """Sets the node that the next ops are emitted for; returns the previous one."""
        previous, self.node = self.node, node
        return previous

    @abstractmethod
    def emit(self, kind: str, **arguments: Any) -> Tensor:
        """Emits one of TensorFlow's raw operators; NumPy arrays among the arguments are constants."""

    @abstractmethod
    def sign(self, tensor: Tensor) -> Tensor:
        """-1 where x < 0, else +1; one per tensor."""

    @abstractmethod
    def prelu(self, tensor: Tensor, slope: FloatArray) -> Tensor:
        """`x where x > 0, else slope x`, the slope as it broadcasts against the stored tensor."""

    @abstractmethod
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
        """A convolution of signs with weights of +-1.

        Args:
            signs: [N, H, W, C].
            weight: HWIO.
            stride: of the windows.
            dilation: of the kernel.
            same: whether zeros are padded as SAME says; else nothing is, or ones.
            ones: signs of +1 to pad, before and behind rows and columns, which are those of SAME; None for none.
        """

    def define(self, name: str, tensor: Tensor, form: Form) -> None:
        """Declares that a tensor is the graph's tensor `name` in this form."""
        self._values[name] = (tensor, form)
        if not isinstance(self.graph[name].op, Input):
            self.places.setdefault(tensor.op.name, []).append((name, form))

    def is_defined(self, name: str) -> bool:
        """Whether the tensor has been emitted."""
        return name in self._values

    def stored(self, name: str) -> tuple[Tensor, Form]:
        """A graph tensor as it lies."""
        return self._values[name]

    def form(self, name: str) -> Form:
        """The form in which a graph tensor lies."""
        return self._values[name][1]

    def nhwc(self, name: str) -> Tensor:
        """An image [N, H, W, C]."""
        tensor, form = self._values[name]
        assert form == NHWC, f"{name} is not an image"
        return tensor

    def as_form(self, name: str, form: Form) -> Tensor:
        """A graph tensor in the wanted form; what it takes is emitted once."""
        tensor, have = self._values[name]
        if have == form:
            return tensor
        if (name, form) not in self._converted:
            self._converted[name, form] = self._convert(tensor, self.graph.shape(name), have, form)
        return self._converted[name, form]

    def flat(self, name: str) -> tuple[Tensor, Form]:
        """A tensor [N, K] of rank 2, in whichever order it lies."""
        form = Form(Layout.FLAT, self.form(name).image)
        return self.as_form(name, form), form

    def pixel(self, name: str) -> tuple[Tensor, Form]:
        """A tensor [N, K] as [N, 1, 1, K], in whichever order it lies."""
        form = Form(Layout.PIXEL, self.form(name).image)
        return self.as_form(name, form), form

    def _convert(self, tensor: Tensor, shape: Shape, have: Form, want: Form) -> Tensor:
        if have.image == want.image and {have.layout, want.layout} == {Layout.FLAT, Layout.PIXEL}:
            return self.reshape(tensor, stored_shape(shape, want))
        return self.from_graph_order(self.to_graph_order(tensor, shape, have), shape, want)

    def to_graph_order(self, tensor: Tensor, shape: Shape, form: Form) -> Tensor:
        """Undoes a form: the values as the graph has them, channels first and never mirrored."""
        if form.image:
            image = (BATCH, *form.image)
            tensor = self.reshape(tensor, stored_shape(image, NHWC))
            tensor = self.to_graph_order(tensor, image, NHWC)
        elif form.layout is Layout.NHWC:
            if shape[2] == shape[3] == 1:
                return self.reshape(tensor, shape)
            tensor = self.emit("Transpose", x=self.mirrored(tensor, shape), perm=_int32(0, 3, 1, 2))
        return tensor if tuple(tensor.shape)[1:] == shape[1:] else self.reshape(tensor, shape)

    def from_graph_order(self, tensor: Tensor, shape: Shape, form: Form) -> Tensor:
        """Brings values that lie as in the graph into a form."""
        assert not form.image, "nothing asks for the order of an image that it is not in"
        if form.layout is Layout.NHWC and shape[2:] != (1, 1):
            return self.mirrored(self.emit("Transpose", x=tensor, perm=_int32(0, 2, 3, 1)), shape)
        stored = stored_shape(shape, form)
        return tensor if tuple(tensor.shape)[1:] == stored[1:] else self.reshape(tensor, stored)

    def mirrored(self, image: Tensor, shape: Shape) -> Tensor:
        """Reverses height and width of a stored image where the network is mirrored.

        Both at once, as one dimension: older runtimes reverse only one.
        """
        if not self.flipped or shape[2] * shape[3] == 1:
            return image
        rows = self.reshape(image, (BATCH, shape[2] * shape[3], shape[1]))
        return self.reshape(self.emit("ReverseV2", tensor=rows, axis=_int32(1)), stored_shape(shape, NHWC))

    def reshape(self, tensor: Tensor, shape: Shape) -> Tensor:
        """Reshapes each image."""
        return self.emit("Reshape", tensor=tensor, shape=_int32(*shape))

    def pad(self, image: Tensor, pads: tuple[Pair, Pair], value: float) -> Tensor:
        """Pads height and width of a stored image."""
        if not any(map(any, pads)):
            return image
        paddings = np.array([(0, 0), *pads, (0, 0)], dtype=np.int32)
        if value == 0:
            return self.emit("Pad", input=image, paddings=paddings)
        return self.emit("PadV2", input=image, paddings=paddings, constant_values=np.float32(value))

    def slice(self, tensor: Tensor, ranges: Sequence[tuple[int, int, int]]) -> Tensor:
        """Slices `begin:end:step` of every dimension but the batch, in the stored order; nothing where that is all of it."""
        sizes = tuple(tensor.shape)[1:]
        if all(r == (0, size, 1) for r, size in zip(ranges, sizes, strict=True)):
            return tensor
        begin, end, step = (_int32(first, *(r[i] for r in ranges)) for i, first in enumerate((0, 0, 1)))
        return self.emit(
            "StridedSlice", input=tensor, begin=begin, end=end, strides=step, begin_mask=1, end_mask=1
        )

    def crop(self, image: Tensor, crop: Pair) -> Tensor:
        """Cuts leading rows and columns off a stored image."""
        height, width, channels = tuple(image.shape)[1:]
        return self.slice(image, [(crop[0], height, 1), (crop[1], width, 1), (0, channels, 1)])

    def channels(self, image: Tensor, begin: int, end: int) -> Tensor:
        """Some channels of a stored image."""
        height, width = tuple(image.shape)[1:3]
        return self.slice(image, [(0, height, 1), (0, width, 1), (begin, end, 1)])

    def finish(self, name: str) -> Tensor:
        """A graph output as the file gives it: never mirrored, in its natural form."""
        shape, form = self.graph.shape(name), self.form(name)
        if form == NHWC:
            return self.mirrored(self.nhwc(name), shape)
        return self.as_form(name, natural_form(shape))


def _int32(*values: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.array(values, dtype=np.int32)
