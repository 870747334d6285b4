"""Checks that all runtimes make on what they are given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.ops import FloatArray


def check_inputs(inputs: Sequence[FloatArray], shapes: Sequence[tuple[int, ...]]) -> int:
    """Checks the inputs of a `Session` against its `input_shapes` and returns the number of images.

    Raises:
        UsageError: wrong number of inputs, not float32, wrong shape, or batches of different or no length.
    """
    if len(inputs) != len(shapes):
        raise UsageError(f"the model takes {len(shapes)} inputs, {len(inputs)} were given")
    for position, (value, shape) in enumerate(zip(inputs, shapes, strict=True)):
        wanted = f"float32 [N, {', '.join(map(str, shape))}]"
        if value.dtype != np.float32 or value.shape[1:] != shape or value.ndim != len(shape) + 1:
            raise UsageError(
                f"input {position} of the model is {wanted}; given was {value.dtype} {list(value.shape)}"
            )
        if len(value) != len(inputs[0]):
            raise UsageError(f"input {position} holds {len(value)} images, input 0 holds {len(inputs[0])}")
    count = len(inputs[0]) if inputs else 0
    if count == 0:
        raise UsageError("the batch is empty: give at least one image")
    return count
