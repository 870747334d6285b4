"""Refuses by name what a TFLite file cannot hold, before anything of that size is made.

A file is a flatbuffer, whose offsets reach 2 GiB. Sizes of tensors, indices of tensors and numbers in options are int32, and runtimes
count the values of a tensor in int32. LiteRT 2.3.0 and TensorFlow Lite 2.21 compute tensors of up to 8 axes.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3; `RuntimeShape::FlatSize` in tensorflow/lite/kernels/internal;
`FLATBUFFERS_MAX_BUFFER_SIZE` in flatbuffers/base.h; the number of axes as observed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import BATCH, Array, Shape

FILE_BYTES = 2**31 - 1
"""Of a whole file."""

LARGEST = 2**31 - 1
"""Of sizes, numbers in options, tensors, and values per tensor."""

MOST_AXES = 8
"""Of a tensor, its batch included."""

_WORD = 32


def check_graph(graph: Graph, batch: int | None) -> None:
    """Does nothing where a file can hold the tensors, numbers and weights of a graph.

    Args:
        graph: of standard operators.
        batch: of the file.

    Raises:
        ModelRefusedError: it cannot.
    """
    for node in graph:
        for key, number in _numbers(node):
            if abs(number) > LARGEST:
                raise ModelRefusedError(
                    f"{named(node)}: its {key} {number} does not fit into a TFLite file, which holds such numbers as int32: give a "
                    "smaller one"
                )
        shape = graph.shape(node.name)
        check_shape(tuple(batch or 1 if size == BATCH else size for size in shape), named(node))
    _check_weights(graph)


def check_shape(shape: Shape, owner: str) -> None:
    """Does nothing where runtimes can hold a tensor and count its values.

    Args:
        shape: with its batch.
        owner: of the tensor, for the message.

    Raises:
        ModelRefusedError: they cannot.
    """
    if len(shape) > MOST_AXES:
        raise ModelRefusedError(
            f"{owner}: a tensor of {'x'.join(map(str, shape))} has {len(shape)} axes, and TFLite's kernels take {MOST_AXES}: reshape it to "
            "fewer"
        )
    if math.prod(shape) > LARGEST or max(shape, default=0) > LARGEST:
        raise ModelRefusedError(
            f"{owner}: a tensor of {'x'.join(map(str, shape))} does not fit into a TFLite file, whose sizes and numbers of values are "
            "int32: give smaller inputs or a smaller --batch"
        )


def check_count(tensors: int) -> None:
    """Does nothing where a file can number its tensors.

    Raises:
        ModelRefusedError: it cannot.
    """
    if tensors > LARGEST:
        raise ModelRefusedError(
            f"the network has more than {LARGEST} tensors, which a TFLite file numbers in int32: export a part of it"
        )


def check_bytes(needed: int, owner: str) -> None:
    """Does nothing where a file can have so many bytes.

    Args:
        needed: by all that is in the file so far.
        owner: of what was put in last, for the message.

    Raises:
        ModelRefusedError: it cannot.
    """
    if needed > FILE_BYTES:
        raise ModelRefusedError(
            f"{owner}: up to here the constants take {needed} bytes, and a TFLite file has at most {FILE_BYTES}: make layers smaller, "
            "or export a part of the network"
        )


def named(node: Node) -> str:
    """A node as refusals call it: its tensor, its operator and where it stands in the module."""
    return f"{node.name} ({node.op.kind}{f' in {node.module}' if node.module else ''})"


def _check_weights(graph: Graph) -> None:
    """Counts every array once: layers that share their weights share them in the file, too."""
    seen: set[tuple[Any, ...]] = set()
    needed = 0
    for node in graph:
        weight = getattr(node.op, "weight", None)
        if isinstance(weight, np.ndarray):
            key = (weight.__array_interface__["data"][0], weight.shape, weight.strides)
            needed += 0 if key in seen else _stored_bytes(weight)
            seen.add(key)
            check_bytes(needed, named(node))


def _stored_bytes(weight: Array) -> int:
    """Of a layer's weights in the file: float32, or of binary weights one bit per channel, filled up to words."""
    if weight.dtype != np.int8:
        return weight.size * 4
    outputs, channels, *kernel = weight.shape
    return outputs * math.prod(kernel) * -(-channels // _WORD) * 4


def _numbers(node: Node) -> Iterator[tuple[str, int]]:
    for key, value in node.op.attributes().items():
        yield from ((key, number) for number in _integers(value))


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, tuple):
        for part in value:
            yield from _integers(part)
    elif isinstance(value, int):
        yield value
