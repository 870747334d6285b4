from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.ir.array_types import FloatArray
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import BorderOffset, Input, PositionAffine
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.affine.border_classes import border_classes

ONE = np.ones((1, 1, 1), np.float32)


def graph_of(scale: FloatArray, offset: FloatArray, shape: tuple[int, ...]) -> Graph:
    node = Node("y", PositionAffine(scale, offset), ("x",))
    return Graph([Node("x", Input(shape)), node], ["y"])


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_offsets_of_borders_become_classes_with_the_same_bits(seed: int, scaled: bool) -> None:
    rng = np.random.default_rng(seed)
    rows, columns = np.sort(rng.integers(0, 3, 9)), np.sort(rng.integers(0, 3, 8))
    offset = rng.normal(size=(4, 3, 3)).astype(np.float32)[:, rows][:, :, columns]
    scale = rng.normal(size=(4, 1, 1)).astype(np.float32) if scaled else ONE
    before = graph_of(scale, offset, (4, 9, 8))
    outcome = border_classes(before)
    border = outcome.graph["y"].op
    assert outcome.applied == 1
    assert isinstance(border, BorderOffset)
    assert border.offset.shape == (4, len(set(rows)), len(set(columns)))
    np.testing.assert_array_equal(border.placed.view(np.int32), offset.view(np.int32))
    x = rng.normal(size=(2, 4, 9, 8)).astype(np.float32)
    np.testing.assert_array_equal(evaluate(before, [x])[0], evaluate(outcome.graph, [x])[0])


def test_an_offset_for_all_channels_is_one_for_each() -> None:
    offset = np.zeros((1, 6, 6), np.float32)
    offset[:, 0] = 1
    border = border_classes(graph_of(ONE, offset, (3, 6, 6))).graph["y"].op
    assert isinstance(border, BorderOffset)
    assert border.offset.shape == (3, 2, 1)


@pytest.mark.parametrize(
    ("offset", "shape"),
    [
        (np.arange(18, dtype=np.float32).reshape(2, 3, 3), (2, 3, 3)),
        (np.arange(12, dtype=np.float32).reshape(3, 4), (3, 4)),
        (np.zeros((1, 1, 1), np.float32), (2, 3, 3)),
    ],
    ids=["all differ", "tokens", "no offset"],
)
def test_others_stay(offset: FloatArray, shape: tuple[int, ...]) -> None:
    scale = np.full((1,) * len(shape), 2, np.float32)
    assert border_classes(graph_of(scale, offset, shape)).applied == 0
