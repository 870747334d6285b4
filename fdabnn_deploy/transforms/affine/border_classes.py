"""Stores offsets by position as a few classes of rows and columns: `PositionAffine(s, o)(x) -> BorderOffset(o')(PositionAffine(s, 0)(x))`.

What a padded layer adds at its borders is the same for all rows and columns but the outer ones. The two operators round as the one does,
`fl(fl(x * s) + o)`, so that no bit changes; a file holds the classes in the place of a number per channel and pixel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.array_types import FloatArray, Shape
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import BorderOffset, PositionAffine
from fdabnn_deploy.transforms.base import Outcome

LARGEST_SHARE = 0.5
"""Classes are worth two more operators where they are at most this share of the numbers by position."""


def border_classes(graph: Graph) -> Outcome:
    """Rewrites every offset of an image that is a number per channel and class, where that is less to store."""
    editor, applied = Editor(graph), 0
    for node in graph:
        if not isinstance(node.op, PositionAffine):
            continue
        border = _by_class(node.op, graph.shape(node.name))
        if border is None:
            continue
        source = node.inputs[0]
        if node.op.has_scale:
            scaled = editor.fresh(f"{node.name}_scaled")
            scale = replace(node.op, offset=np.zeros_like(node.op.offset[:1, :1, :1]))
            editor.add(Node(scaled, scale, (source,), node.module, node.source, node.text), near=node.name)
            source = scaled
        editor.set(node.name, border, (source,))
        applied += 1
    return Outcome(editor.finish() if applied else graph, applied)


def _by_class(op: PositionAffine, shape: Shape) -> BorderOffset | None:
    """The offset by class, or None where that is no smaller."""
    if len(shape) != 4 or not op.has_offset:
        return None
    numbers: FloatArray = op.offset
    rows, columns = (_classes(numbers, axis, shape[1 + axis]) for axis in (1, 2))
    first = [np.unique(places, return_index=True)[1] for places in (rows, columns)]
    classes = numbers[:, first[0] if numbers.shape[1] > 1 else [0]]
    classes = classes[:, :, first[1] if numbers.shape[2] > 1 else [0]]
    if classes.size > LARGEST_SHARE * numbers.size:
        return None
    offset = np.ascontiguousarray(np.broadcast_to(classes, (shape[1], *classes.shape[1:])))
    return BorderOffset(offset, rows, columns)


def _classes(numbers: FloatArray, axis: int, size: int) -> NDArray[np.int64]:
    """The class of every place along an axis: places of one class have the same bits."""
    if numbers.shape[axis] == 1:
        return np.zeros(size, np.int64)
    bits = np.moveaxis(numbers, axis, 0).reshape(numbers.shape[axis], -1).view(np.int32)
    return np.unique(bits, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64)
