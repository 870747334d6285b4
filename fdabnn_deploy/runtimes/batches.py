"""Feeds images to a model in pieces of its batch size and puts together what it computes, with no value left out.

What belongs to which image:

- An output whose first axis is as long as the batch holds one row per image: [N, ...].
- Any other output belongs to the images of its call as a whole. So such a model is fed one image at a time, and its outputs get the
  images as a new first axis: [6, 1, 4] of each of N images is [N, 6, 1, 4]. A first axis of length 1 is then taken for that of the batch.
- A sequence of tensors, and an output whose shape is another for every image, are arrays [N] of Python objects: tuples of the image's
  tensors, each without a first axis of length 1.

A model with a batch of its own, above 1, takes nothing but whole batches. A piece that is too short is filled up with zeros, and once
more with copies of its first image: where that changes the rows that are kept, they are no rows of their images alone, and are refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir import number_types
from fdabnn_deploy.ir.ops import Array

Result = Array | list[Array]
"""The value of one output after a call: a tensor, or a sequence of tensors."""
Call = Callable[[list[Array]], Sequence[Result]]

MOST_IMAGES = 32
MOST_VALUES = 1 << 21
"""Of a batch's input. A network's tensors are some ten times larger, and several of them are in memory at a time."""


def images_at_once(shape: Sequence[int]) -> int:
    """How many images a network is run on at a time: up to 32, and 13 of 3x224x224.

    Args:
        shape: of one image.
    """
    return max(1, min(MOST_IMAGES, MOST_VALUES // max(1, math.prod(shape))))


def run(
    call: Call, inputs: Sequence[Array], size: int | None, names: Sequence[str], what: str
) -> list[Array]:
    """The outputs for any number of images, one array [N, ...] each; see the module.

    Args:
        call: computes the outputs of one batch.
        inputs: [N, ...] each, checked.
        size: of the batches that the model takes, None for any.
        names: of the outputs, for messages.
        what: the model, for messages.

    Raises:
        ModelRefusedError: a model with a batch above 1 has an output that cannot be split into images.
    """
    outputs = []
    for name, found in zip(names, run_where_possible(call, inputs, size), strict=True):
        if isinstance(found, str):
            raise ModelRefusedError(f"{what} computes {size} inputs at once, and its output {name} {found}")
        outputs.append(found)
    return outputs


def run_where_possible(call: Call, inputs: Sequence[Array], size: int | None) -> list[Array | str]:
    """As `run`, with the reason in the place of an output that cannot be split into images."""
    count = len(inputs[0])
    if size is None:
        results = call([np.ascontiguousarray(values) for values in inputs])
        if is_by_row(results, count):
            return [result for result in results if isinstance(result, np.ndarray)]
        size = 1
    calls = [piece(inputs, start, size) for start in range(0, count, size)]
    results_of_calls = [call(images) for images in calls]
    columns = [list(column) for column in zip(*results_of_calls, strict=True)]
    if size == 1:
        return [_by_image(column) for column in columns]
    missing = len(calls) * size - count
    again = call(_refilled(calls[-1], size - missing)) if missing else results_of_calls[-1]
    return [_by_row(column, other, size, missing) for column, other in zip(columns, again, strict=True)]


def join(parts: Sequence[Array]) -> Array:
    """One output of several runs, one behind the other."""
    if all(part.dtype != object and part.shape[1:] == parts[0].shape[1:] for part in parts):
        return np.concatenate(parts)
    return _objects([value if isinstance(value, tuple) else (value,) for part in parts for value in part])


def is_by_row(results: Sequence[Result], count: int) -> bool:
    """Whether all that one call computed for so many images has a row for each."""
    return all(_is_by_row(result, count) for result in results)


def _is_by_row(result: Result, count: int) -> bool:
    return isinstance(result, np.ndarray) and result.shape[:1] == (count,)


def piece(inputs: Sequence[Array], start: int, size: int) -> list[Array]:
    """`size` images of each input from `start` on, filled up with zeros where there are fewer."""
    pieces = []
    for values in inputs:
        part = values[start : start + size]
        missing = size - len(part)
        if missing:
            part = np.concatenate([part, np.zeros((missing, *part.shape[1:]), part.dtype)])
        pieces.append(np.ascontiguousarray(part))
    return pieces


def _refilled(images: list[Array], count: int) -> list[Array]:
    """A piece whose images behind the first `count` are copies of the first."""
    return [np.concatenate([values[:count], values[:1].repeat(len(values) - count, 0)]) for values in images]


def _by_row(column: list[Result], again: Result, size: int, missing: int) -> Array | str:
    arrays = [result for result in column if isinstance(result, np.ndarray) and _is_by_row(result, size)]
    if len(arrays) < len(column):
        return "does not have them as its first axis: it cannot be split into inputs; export it with batch 1"
    if missing:
        last = arrays[-1][: size - missing]
        if not isinstance(again, np.ndarray) or not _same(last, again[: size - missing]):
            return f"mixes them: export it with batch 1, or give a multiple of {size} inputs"
        arrays[-1] = last
    return join(arrays)


def _same(a: Array, b: Array) -> bool:
    return a.shape == b.shape and not number_types.unlike(a, b)[0].any()


def _by_image(column: list[Result]) -> Array:
    images = [
        tuple(_without_batch(part) for part in (result if isinstance(result, list) else (result,)))
        for result in column
    ]
    first = images[0][0] if images[0] else None
    regular = not any(isinstance(result, list) for result in column) and all(
        first is not None and value.shape == first.shape for (value,) in images
    )
    return np.stack([value for (value,) in images]) if regular else _objects(images)


def _without_batch(result: Array) -> Array:
    return np.asarray(result[0] if result.shape[:1] == (1,) else result)


def _objects(images: Sequence[tuple[Array, ...]]) -> Array:
    values = np.empty(len(images), object)
    for i, image in enumerate(images):
        values[i] = image
    return values
