from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fdabnn_deploy.ir.ops import BATCH, AvgPool2d, GlobalAvgPool, GraphError, MaxPool2d, Op
from fdabnn_deploy.ir.ops.pooling import pool_size

SIZE, KERNEL, STRIDE = st.integers(1, 12), st.integers(1, 5), st.integers(1, 5)


@given(size=SIZE, kernel=KERNEL, stride=STRIDE, padding=st.integers(0, 2), ceil_mode=st.booleans())
def test_size_is_pytorchs(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> None:
    assume(2 * padding <= kernel <= size + 2 * padding)
    x = torch.arange(size, dtype=torch.float64).reshape(1, 1, size)
    expected = F.max_pool1d(x, kernel, stride, padding, ceil_mode=ceil_mode)
    assert pool_size(size, kernel, stride, padding, ceil_mode) == expected.shape[2]


@settings(max_examples=50)
@given(
    size=st.tuples(SIZE, SIZE),
    kernel=KERNEL,
    stride=STRIDE,
    padding=st.integers(0, 2),
    flag=st.booleans(),
    seed=st.integers(0, 99),
)
def test_values_are_pytorchs(
    size: tuple[int, int], kernel: int, stride: int, padding: int, flag: bool, seed: int
) -> None:
    assume(2 * padding <= kernel <= min(size) + 2 * padding)
    # Small integers: every sum is exact, so only the division rounds.
    x = np.random.default_rng(seed).integers(-50, 50, (2, 3, *size)).astype(np.float32)
    tensor = torch.tensor(x)
    largest = MaxPool2d((kernel,) * 2, (stride,) * 2, (padding,) * 2, ceil_mode=flag).reference(x)
    assert np.array_equal(largest, F.max_pool2d(tensor, kernel, stride, padding, ceil_mode=flag).numpy())
    mean = AvgPool2d((kernel,) * 2, (stride,) * 2, (padding,) * 2, count_include_pad=flag).reference(x)
    assert np.array_equal(mean, F.avg_pool2d(tensor, kernel, stride, padding, count_include_pad=flag).numpy())


def test_global_mean_is_carried_in_float64() -> None:
    x = np.array([1e8, 1, -1e8, 0], dtype=np.float32).reshape(1, 1, 2, 2)
    assert GlobalAvgPool().reference(x).tolist() == [[0.25]]
    assert GlobalAvgPool(keepdims=True).reference(x).tolist() == [[[[0.25]]]]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (MaxPool2d((2, 3), (1, 2)), (BATCH, 3, 7, 2)),
        (MaxPool2d((3, 3), (2, 2), (1, 1)), (BATCH, 3, 4, 3)),
        (AvgPool2d((8, 6), (1, 1)), (BATCH, 3, 1, 1)),
        (GlobalAvgPool(), (BATCH, 3)),
        (GlobalAvgPool(keepdims=True), (BATCH, 3, 1, 1)),
    ],
)
def test_shapes(op: Op, expected: tuple[int, ...]) -> None:
    assert op.infer((BATCH, 3, 8, 6)) == expected
    assert op.reference(np.zeros((2, 3, 8, 6), dtype=np.float32)).shape[1:] == expected[1:]


@pytest.mark.parametrize(
    ("op", "message"),
    [
        (MaxPool2d((9, 1), (1, 1)), "empty output"),
        (MaxPool2d((3, 3), (1, 1), (2, 1)), "at most half"),
        (AvgPool2d((9, 1), (1, 1)), "empty output"),
    ],
)
def test_what_is_refused(op: Op, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        op.infer((BATCH, 3, 8, 6))


@pytest.mark.parametrize("op", [MaxPool2d((1, 1), (1, 1)), AvgPool2d((1, 1), (1, 1)), GlobalAvgPool()])
def test_images_only(op: Op) -> None:
    with pytest.raises(GraphError, match="takes"):
        op.infer((BATCH, 3))
