from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import broadcastable_shapes

from fdabnn_deploy.ir.ops import BATCH, Add, Clamp, Conv2d, GraphError, Shape
from fdabnn_deploy.ir.ops.base import broadcast, per_channel

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


@given(SHAPES.flatmap(lambda shape: st.tuples(st.just(shape), broadcastable_shapes(shape, min_side=1))))
def test_broadcast_is_numpys(shapes: tuple[Shape, Shape]) -> None:
    assert broadcast(*shapes) == np.broadcast_shapes(*shapes)


@given(SHAPES, SHAPES)
def test_broadcast_refuses_what_numpy_refuses(a: Shape, b: Shape) -> None:
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(GraphError, match="do not broadcast"):
            broadcast(a, b)
    else:
        assert broadcast(a, b) == expected


def test_the_batch_meets_only_itself_and_1() -> None:
    assert broadcast((BATCH, 3, 4), (1, 3, 1)) == (BATCH, 3, 4)
    assert broadcast((BATCH, 3), (3,)) == (BATCH, 3)
    with pytest.raises(GraphError):
        broadcast((BATCH, 3), (2, 3))
    with pytest.raises(GraphError):
        broadcast((BATCH, 3), (BATCH, 3, 3))


def test_per_channel_meets_dimension_1() -> None:
    assert per_channel(np.ones(3), 4).shape == (1, 3, 1, 1)
    assert per_channel(np.ones(3), 2).shape == (1, 3)
    assert per_channel(np.ones(()), 4).shape == ()


def test_operators_describe_themselves_in_one_line() -> None:
    assert Add().describe() == "Add()"
    assert Clamp(-1.0, 1.0).describe() == "Clamp(low=-1.0, high=1.0)"
    conv = Conv2d(np.ones((4, 3, 5, 1), dtype=np.float32), stride=(2, 2))
    assert (
        conv.describe() == "Conv2d(weight=4x3x5x1, stride=(2, 2), padding=(0, 0), dilation=(1, 1), groups=1)"
    )


def test_operators_are_immutable_and_equal_only_to_themselves() -> None:
    clamp = Clamp(0.0, 1.0)
    with pytest.raises(AttributeError):
        clamp.low = 1.0  # type: ignore[misc]
    assert clamp != Clamp(0.0, 1.0)
    assert len({clamp, clamp}) == 1
