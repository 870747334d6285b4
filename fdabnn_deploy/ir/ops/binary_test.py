from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdabnn_deploy.conformance import chosen_cases
from fdabnn_deploy.ir.ops import BATCH, BinaryConv2d, BinaryLinear, FloatArray, GraphError, Sign


def signs(seed: int, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.where(np.random.default_rng(seed).random(shape) < 0.5, -1, 1).astype(np.int8)


def test_sign_has_one_rule() -> None:
    x: FloatArray = np.array([-1, -1e-45, -0.0, 0.0, 1e-45, np.nan, -np.nan, -np.inf], dtype=np.float32)
    y = Sign().reference(x)
    assert y.dtype == np.float32
    assert y.tolist() == [-1, -1, 1, 1, 1, 1, 1, -1]


@pytest.mark.parametrize("padding_value", [0, 1])
@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), stride=st.sampled_from([(1, 1), (2, 1), (2, 3)]))
def test_convolution_is_the_sum_of_its_definition(
    padding_value: int, seed: int, stride: tuple[int, int]
) -> None:
    weight, x = signs(seed, 2, 3, 3, 2), signs(seed + 1, 1, 3, 4, 5).astype(np.float32)
    op = BinaryConv2d(weight, stride=stride, padding=(1, 2), dilation=(1, 2), padding_value=padding_value)
    y = op.reference(x)
    assert y.shape[1:] == op.infer((BATCH, 3, 4, 5))[1:]
    for (n, o, i, j), value in np.ndenumerate(y):
        total = 0.0
        for c, u, v in np.ndindex(3, 3, 2):
            row, column = i * stride[0] + u - 1, j * stride[1] + 2 * v - 2
            inside = 0 <= row < 4 and 0 <= column < 5
            total += float(weight[o, c, u, v]) * (x[n, c, row, column] if inside else padding_value)
        assert value == total


def test_taps_bound_the_accumulator() -> None:
    conv = BinaryConv2d(np.ones((2, 8, 3, 3), dtype=np.int8), groups=2)
    assert conv.taps == 72
    assert conv.reference(np.ones((1, 16, 3, 3), dtype=np.float32)).tolist() == [[[[72]], [[72]]]]
    dense = BinaryLinear(np.ones((2, 100), dtype=np.int8))
    assert dense.taps == 100
    assert dense.reference(-np.ones((1, 100), dtype=np.float32)).tolist() == [[-100, -100]]


def test_values_are_integers() -> None:
    for case in chosen_cases():
        if isinstance(case.op, BinaryConv2d | BinaryLinear):
            y = case.op.reference(Sign().reference(case.inputs[0]))
            assert np.array_equal(y, np.round(y)), case.name
            assert np.abs(y).max() <= case.op.taps, case.name


@pytest.mark.parametrize(
    "weight",
    [
        np.ones((1, 1, 1, 1), dtype=np.float32),
        np.ones((1, 1), dtype=np.int8),
        np.zeros((1, 1, 1, 1), dtype=np.int8),
        np.full((1, 1, 1, 1), -128, dtype=np.int8),
    ],
)
def test_other_weights_are_refused(weight: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> None:
    with pytest.raises(GraphError, match="binary weights"):
        BinaryConv2d(weight)


def test_other_dense_weights_and_paddings_are_refused() -> None:
    with pytest.raises(GraphError, match="binary weights"):
        BinaryLinear(np.zeros((2, 2), dtype=np.int8))
    with pytest.raises(GraphError, match="padding_value"):
        BinaryConv2d(np.ones((1, 1, 1, 1), dtype=np.int8), padding_value=-1)


def test_dense_shapes() -> None:
    op = BinaryLinear(signs(0, 4, 6))
    assert op.infer((BATCH, 6)) == (BATCH, 4)
    for shape in ((BATCH, 5), (BATCH, 6, 1)):
        with pytest.raises(GraphError, match="dense layer"):
            op.infer(shape)
