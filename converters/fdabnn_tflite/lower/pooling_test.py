"""Pools on LCE together with the signs behind them; each alone is in `conformance_test.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import AvgPool2d, BinaryConv2d, GlobalAvgPool, MaxPool2d, Sign
from fdabnn_tflite.lower.chain_testing import chain

pytestmark = pytest.mark.runtimes

RNG = np.random.default_rng(2)


def conv(channels: int) -> BinaryConv2d:
    return BinaryConv2d(np.where(RNG.random((4, channels, 1, 1)) < 0.5, -1, 1).astype(np.int8))


BINARY_POOLS: dict[str, Graph] = {
    "halving": chain((35, 8, 6), MaxPool2d((2, 2), (2, 2)), Sign(), conv(35)),
    "overlapping": chain((35, 8, 7), MaxPool2d((3, 3), (2, 2), (1, 1)), Sign(), conv(35)),
    "same_size": chain((5, 5, 5), MaxPool2d((3, 3), (1, 1), (1, 1)), Sign(), conv(5)),
    "sign_read_as_numbers_too": chain(
        (5, 6, 6), MaxPool2d((2, 2), (2, 2)), Sign(), conv(5), outputs=("y1", "y2")
    ),
    "explicit_padding": chain((5, 6, 6), MaxPool2d((4, 4), (2, 2), (2, 2)), Sign(), conv(5)),
    "cut_off": chain((5, 7, 7), MaxPool2d((2, 2), (2, 2), ceil_mode=True), Sign(), conv(5)),
}
OTHERS: dict[str, Graph] = {
    "read_twice": chain((5, 6, 6), MaxPool2d((2, 2), (2, 2)), Sign(), conv(5), outputs=("y0", "y2")),
    "mean": chain((5, 6, 6), AvgPool2d((2, 2), (2, 2)), Sign(), conv(5)),
    "mean_without_padding": chain((5, 6, 7), AvgPool2d((3, 3), (2, 2), (1, 1), count_include_pad=False)),
    "mean_without_wide_padding": chain((5, 6, 7), AvgPool2d((4, 5), (3, 2), (2, 2), count_include_pad=False)),
    "mean_with_padding": chain((5, 6, 7), AvgPool2d((3, 3), (2, 2), (1, 1))),
    "global": chain((5, 6, 7), GlobalAvgPool(keepdims=True), Sign(), conv(5)),
}


@pytest.fixture(scope="module", params=[False, True], ids=["as it is", "mirrored"])
def result(request: pytest.FixtureRequest, on_lce: Callable[..., Any]) -> Any:
    return on_lce({**BINARY_POOLS, **OTHERS}, request.param)


@pytest.mark.parametrize("name", [*BINARY_POOLS, *OTHERS])
def test_pools(result: Any, name: str) -> None:
    """Maxima are exact. Means of at most 20 values below 4 are off by less than 20 * 4 * 2^-24 = 5e-6 in any order."""
    assert result.tensors[name]
    for tensor, value in result.tensors[name].items():
        expected = result.reference[name][tensor]
        mean = "mean" in name or name == "global"
        assert np.allclose(value, expected, rtol=0, atol=5e-6 if mean else 0), tensor


def test_pools_that_only_a_sign_reads_work_on_bits(result: Any) -> None:
    kinds = result.file.op_counts()
    assert kinds["LceBMaxPool2d"] == len(BINARY_POOLS)
    assert kinds["MAX_POOL_2D"] == 1
