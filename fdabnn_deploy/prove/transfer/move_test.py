"""Bounds of single values move with the values."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fdabnn_deploy.ir.ops import DepthToSpace, UpsampleNearest
from fdabnn_deploy.prove.domain import Doubles, Value, unknown
from fdabnn_deploy.prove.result import Judged
from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_deploy.prove.transfer import move


def numbered(shape: tuple[int, ...]) -> Value:
    """A tensor whose values are each known to be their own place's number."""
    numbers: Doubles = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    return replace(unknown(shape), low=numbers, high=numbers)


def low(judged: Judged) -> Doubles:
    assert isinstance(judged.value, Value)
    assert judged.value.shape == judged.value.low.shape
    return judged.value.low


@pytest.mark.parametrize("axis", [1, 3])
@pytest.mark.parametrize("neighbours", [True, False])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_channels_become_pixels(axis: int, neighbours: bool, factor: int) -> None:
    x = numbered((1, 2 * factor**2, 3, 4) if axis == 1 else (1, 3, 4, 2 * factor**2))
    found = np.moveaxis(low(move.depth_to_space(x, factor, axis, neighbours)), axis, 1)
    image = np.moveaxis(x.low, axis, 1)
    if not neighbours:
        image = image.reshape(1, factor**2, 2, 3, 4).transpose(0, 2, 1, 3, 4).reshape(image.shape)
    assert np.array_equal(found, DepthToSpace(factor).reference(image))


def test_values_are_repeated() -> None:
    x = numbered((1, 2, 3, 4))
    found = low(move.enlarge(x, [2, 3], [2.0, 3.0]))
    assert np.array_equal(found, UpsampleNearest((2, 3)).reference(x.low))


def test_places_are_gathered() -> None:
    x = numbered((1, 3, 4))
    assert np.array_equal(low(move.gather(x, np.array([2, 0, 2]), 1)), x.low[:, [2, 0, 2]])


@pytest.mark.parametrize("factor", [0.5, 1.5, 41.0])
def test_neighbours_that_runtimes_choose_differently_are_not_proved(factor: float) -> None:
    with pytest.raises(UnprovedError, match="resizes by"):
        move.enlarge(numbered((1, 2, 4, 4)), [2, 3], [factor, 1.0])


@pytest.mark.parametrize("indices", [[-1], [3], []])
def test_places_outside_are_not_proved(indices: list[int]) -> None:
    with pytest.raises(UnprovedError, match="indices"):
        move.gather(numbered((1, 3, 4)), np.array(indices, dtype=np.int64), 1)


def test_blocks_that_do_not_fit_are_not_proved() -> None:
    with pytest.raises(UnprovedError, match="blocks"):
        move.depth_to_space(numbered((1, 6, 2, 2)), 2, 1, neighbours=True)
