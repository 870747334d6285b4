from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.ir import exact_sum
from fdabnn_deploy.ir.exact_sum import exact_total


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 300),
    st.integers(257, 3000),
)
def test_it_is_the_sum_of_fsum(seed: int, dtype: Any, spread: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    spread = min(spread, 30) if dtype is np.float32 else spread
    values = (rng.standard_normal(count) * 2.0 ** rng.integers(-spread, spread + 1, count)).astype(dtype)
    values[rng.integers(count, size=count // 8)] = 0
    assert exact_total(values) == math.fsum(values.tolist())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_smallest_values_count(dtype: Any) -> None:
    values = np.full(1000, np.finfo(dtype).smallest_subnormal, dtype)
    values[::3] = -1
    values[::5] = 1
    values[-1] = np.nextafter(dtype(1), dtype(2))
    assert exact_total(values) == math.fsum(values.tolist())


def test_sums_that_cancel_leave_what_is_left() -> None:
    values = np.concatenate([np.full(500, 1e200), np.full(500, -1e200), [1e-200]])
    assert exact_total(values) == 1e-200


def test_the_largest_values_do_not_overflow_on_the_way() -> None:
    largest = np.finfo(np.float64).max
    values = np.tile([largest, -largest], 300)
    values[-2:] = 1.5
    assert exact_total(values) == 3.0


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_what_is_not_finite_stays_so(value: float) -> None:
    values = np.ones(1000, np.float32)
    values[7] = value
    assert not math.isfinite(exact_total(values))


def test_blocks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).standard_normal(5001)
    whole = exact_total(values)
    monkeypatch.setattr(exact_sum, "_BLOCK", 7)
    assert exact_total(values) == whole == math.fsum(values.tolist())
