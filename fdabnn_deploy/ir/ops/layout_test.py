from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.ops import BATCH, Concat, GraphError, Input, Op, Pad, Permute, Reshape, Shape, Slice

X = np.arange(2 * 2 * 3 * 4, dtype=np.float32).reshape(2, 2, 3, 4)


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (Pad(((1, 0), (0, 2), (0, 0)), 7.0), np.pad(X, ((0, 0), (1, 0), (0, 2), (0, 0)), constant_values=7)),
        (Slice(((1, 2, 1), (0, 3, 2), (1, 4, 2))), X[:, 1:2, 0:3:2, 1:4:2]),
        (Slice(((0, 2, 1), (0, 3, 5), (3, 4, 1))), X[:, :, :1, 3:]),
        (Reshape((24,)), X.reshape(2, 24)),
        (Reshape((4, 6)), X.reshape(2, 4, 6)),
        (Permute((3, 1, 2)), X.transpose(0, 3, 1, 2)),
    ],
)
def test_values_and_shape(op: Op, expected: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    y = op.reference(X)
    assert y.dtype == np.float32
    assert np.array_equal(y, expected)
    assert op.infer((BATCH, 2, 3, 4)) == (BATCH, *expected.shape[1:])


def test_concat_joins_channels() -> None:
    assert np.array_equal(Concat().reference(X, X[:, :1]), np.concatenate([X, X[:, :1]], axis=1))
    assert Concat().infer((BATCH, 2, 3, 4), (BATCH, 1, 3, 4)) == (BATCH, 3, 3, 4)
    assert Concat().infer((BATCH, 2), (BATCH, 3)) == (BATCH, 5)


def test_an_empty_batch_keeps_its_shape() -> None:
    assert Reshape((24,)).reference(X[:0]).shape == (0, 24)


def test_an_input_gets_a_batch() -> None:
    assert Input((3, 2)).infer() == (BATCH, 3, 2)


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (Pad(((0, 0),)), (BATCH, 2, 3)),
        (Slice(((0, 3, 1),)), (BATCH, 2)),
        (Slice(((1, 1, 1),)), (BATCH, 2)),
        (Slice(((-1, 2, 1),)), (BATCH, 2)),
        (Slice(((0, 2, 0),)), (BATCH, 2)),
        (Slice(((0, 2, 1),)), (BATCH, 2, 2)),
        (Reshape((5,)), (BATCH, 2, 3)),
        (Permute((0, 1)), (BATCH, 2, 3)),
        (Permute((1, 2)), (BATCH, 2, 3, 4)),
    ],
)
def test_shapes_that_do_not_fit(op: Op, shape: Shape) -> None:
    with pytest.raises(GraphError):
        op.infer(shape)


def test_concat_of_other_sizes_or_ranks() -> None:
    for other in ((BATCH, 2, 3, 5), (BATCH, 2, 3), (2, 2, 3, 4)):
        with pytest.raises(GraphError, match="cannot join"):
            Concat().infer((BATCH, 2, 3, 4), other)


def test_negative_padding() -> None:
    with pytest.raises(GraphError, match="negative padding"):
        Pad(((0, -1),))
