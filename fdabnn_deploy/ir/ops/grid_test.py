from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.ir.ops import GraphError, RoundToGrid, Saturate

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def test_saturate_gives_nan_and_infinity_a_limit() -> None:
    x = np.array([np.nan, np.inf, -np.inf, -2.0, -1.5, -0.0, 0.0, 2.0, 3.0], dtype=np.float32)
    y = Saturate(-1.5, 2.0).reference(x)
    assert y.tolist() == [2.0, 2.0, -1.5, -1.5, -1.5, 0.0, 0.0, 2.0, 2.0]
    assert np.signbit(y[5])


@pytest.mark.parametrize(
    ("low", "high"), [(1.0, 0.0), (-np.inf, 0.0), (0.0, np.inf), (np.nan, 1.0), (0.0, 1e39)]
)
def test_saturate_wants_finite_ordered_limits(low: float, high: float) -> None:
    with pytest.raises(GraphError, match="not finite and ordered"):
        Saturate(low, high)


def test_round_takes_halves_to_even() -> None:
    x = np.array([0.125, 0.375, -0.125, -0.375, 0.2, 1e30], dtype=np.float32)
    assert RoundToGrid(2).reference(x).tolist() == [0.0, 0.5, 0.0, -0.5, 0.25, np.float32(1e30)]


@given(x=st.floats(-(2.0**20), 2.0**20, width=32), exponent=st.integers(-20, 40))
def test_round_gives_the_nearest_multiple(x: float, exponent: int) -> None:
    y = float(RoundToGrid(exponent).reference(np.array([x], dtype=np.float32))[0])
    step = 2.0**-exponent
    assert (y / step).is_integer()
    assert abs(y - x) <= step / 2


def test_a_grid_beyond_float32_is_refused() -> None:
    with pytest.raises(GraphError, match="101"):
        RoundToGrid(101)
