"""Checks that all runtimes make on what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.ops import Array

FLOATS: np.dtype[Any] = np.dtype(np.float32)
PIXELS: np.dtype[Any] = np.dtype(np.uint8)


def check_inputs(
    inputs: Sequence[Array], shapes: Sequence[tuple[int, ...]], types: Sequence[np.dtype[Any]] | None = None
) -> int:
    """Checks the inputs of a `Session` against its `input_shapes` and `input_types` and returns the number of images.

    Raises:
        UsageError: wrong number of inputs, wrong type, wrong shape, or batches of different or no length.
    """
    if len(inputs) != len(shapes):
        raise UsageError(f"the model takes {len(shapes)} inputs, {len(inputs)} were given")
    wanted_types = [FLOATS] * len(shapes) if types is None else types
    for position, (value, shape, kind) in enumerate(zip(inputs, shapes, wanted_types, strict=True)):
        wanted = f"{kind} [N, {', '.join(map(str, shape))}]"
        if value.dtype != kind or value.shape[1:] != shape or value.ndim != len(shape) + 1:
            raise UsageError(
                f"input {position} of the model is {wanted}; given was {value.dtype} {list(value.shape)}"
            )
        if len(value) != len(inputs[0]):
            raise UsageError(f"input {position} holds {len(value)} images, input 0 holds {len(inputs[0])}")
    count = len(inputs[0]) if inputs else 0
    if count == 0:
        raise UsageError("the batch is empty: give at least one image")
    return count
