from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from fdabnn_deploy.ir.ops import BATCH, Conv2d, GraphError, Linear, Shape
from fdabnn_deploy.ir.ops.conv import conv_size


def test_size_counts_the_windows() -> None:
    for size, kernel, stride, padding, dilation in itertools.product(
        range(1, 12), [1, 2, 3, 5], [1, 2, 3], [0, 1, 2], [1, 2]
    ):
        last = size + 2 * padding - (dilation * (kernel - 1) + 1)
        windows = len(range(0, last + 1, stride))
        assert max(conv_size(size, kernel, stride, padding, dilation), 0) == windows


def test_reference_is_pytorchs_in_float64_rounded_once() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 6, 9, 8), dtype=np.float32)
    weight = rng.standard_normal((4, 3, 3, 2), dtype=np.float32)
    op = Conv2d(weight, stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2)
    expected = torch.nn.functional.conv2d(
        torch.tensor(x, dtype=torch.float64),
        torch.tensor(weight, dtype=torch.float64),
        stride=(2, 1),
        padding=(1, 2),
        dilation=(2, 1),
        groups=2,
    )
    y = op.reference(x)
    assert y.dtype == np.float32
    # Float64 sums in another order: equal after rounding but for rare ties.
    assert np.mean(y == expected.numpy().astype(np.float32)) > 0.99
    assert np.allclose(y, expected.numpy(), rtol=1e-6, atol=1e-6)


def test_the_bias_is_added_in_float32() -> None:
    tiny, one = np.float32(2**-24), np.ones((1, 1, 1, 1), dtype=np.float32)
    assert Conv2d(one, np.array([tiny], dtype=np.float32)).reference(one) == 1
    assert Linear(one[0, 0], np.array([tiny], dtype=np.float32)).reference(one[0, 0]) == 1


def test_sums_are_carried_in_float64() -> None:
    x = np.array([[1e8, 1.0, -1e8]], dtype=np.float32)
    assert Linear(np.ones((1, 3), dtype=np.float32)).reference(x) == 1


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((BATCH, 3, 8), "takes"),
        ((BATCH, 3, 8, 8), "3 channels do not fit"),
        ((BATCH, 4, 2, 8), "empty output"),
    ],
)
def test_shapes_that_do_not_fit(shape: Shape, message: str) -> None:
    op = Conv2d(np.ones((2, 2, 3, 3), dtype=np.float32), groups=2)
    with pytest.raises(GraphError, match=message):
        op.infer(shape)


def test_output_channels_that_do_not_fit_the_groups() -> None:
    with pytest.raises(GraphError, match="3 output channels in 2 groups"):
        Conv2d(np.ones((3, 2, 1, 1), dtype=np.float32), groups=2).infer((BATCH, 4, 2, 2))


def test_parameters_of_another_type_or_shape() -> None:
    ones = np.ones((2, 2, 1, 1), dtype=np.float32)
    for make in (
        lambda: Conv2d(ones.astype(np.float64)),
        lambda: Conv2d(ones[0]),
        lambda: Conv2d(ones, np.ones(3, dtype=np.float32)),
        lambda: Conv2d(ones, np.ones(2)),  # type: ignore[arg-type]
        lambda: Linear(ones),
        lambda: Linear(ones[..., 0, 0], np.ones((2, 1), dtype=np.float32)),
    ):
        with pytest.raises(GraphError, match="float32"):
            make()
