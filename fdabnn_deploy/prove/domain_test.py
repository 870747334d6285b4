from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.prove.domain import (
    ZERO_GRID,
    fits,
    is_power_of_two,
    last_bits,
    of_constant,
    require_normal,
    require_ordinary,
    rounded,
    unknown,
)
from fdabnn_deploy.prove.rows import UnprovedError

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(FLOATS)
def test_last_bit_is_the_finest_grid_that_holds_a_number(value: float) -> None:
    grid = int(last_bits(np.array(value, dtype=np.float32)))
    if value == 0:
        assert grid == ZERO_GRID
        return
    units = Fraction(value) * Fraction(2) ** grid
    assert units.denominator == 1
    assert units.numerator % 2 == 1


def test_last_bits_keep_the_shape() -> None:
    values = np.array([[1.0, -0.5], [3.0, 0.0]], dtype=np.float32)
    assert last_bits(values).tolist() == [[0, 1], [0, ZERO_GRID]]
    assert last_bits(np.array(1e-45, dtype=np.float32)) == 149


@given(FLOATS)
def test_powers_of_two(value: float) -> None:
    mantissa, _ = math.frexp(abs(value))
    assert is_power_of_two(np.array([1.0, value])) == (mantissa in {0.0, 0.5})


@given(FLOATS, FLOATS)
def test_rounded_limits_enclose_the_rounded_sum(a: float, b: float) -> None:
    exact = np.array(np.float64(a) + np.float64(b))
    if abs(exact) < 1e38:
        low, high = rounded(exact, exact)
        assert low <= np.float32(a) + np.float32(b) <= high


def test_overflow_is_refused() -> None:
    with pytest.raises(UnprovedError, match="overflow"):
        rounded(np.array(0.0), np.array(4e38))


def test_what_fits() -> None:
    grid = np.array(3)
    assert fits(np.array(2.0**21), grid)
    assert not fits(np.array(2.0**21 + 1), grid)


def test_inputs_are_anything() -> None:
    value = unknown((1, 3, 4, 4))
    assert value.nan
    assert not value.finite
    with pytest.raises(UnprovedError, match="NaN may arrive"):
        require_ordinary(value)


@pytest.mark.parametrize(("value", "reason"), [(np.nan, "NaN"), (np.inf, "infinite"), (1e-40, "denormal")])
def test_constants_that_no_proof_holds_for(value: float, reason: str) -> None:
    with pytest.raises(UnprovedError, match=reason):
        of_constant(np.array([1.0, value]))


def test_constants() -> None:
    value = of_constant(np.array([0.5, -0.0], dtype=np.float32), rank=3)
    assert value.shape == (1, 1, 2)
    assert value.negative_zero
    assert value.magnitude.tolist() == [[[0.5, 0.0]]]


def test_denormal_results_are_refused() -> None:
    require_normal(np.array([126, 200]), np.array([1.0, 0.0]))
    with pytest.raises(UnprovedError, match="2\\^-127"):
        require_normal(np.array([126, 127]), np.array([1.0, 1.0]))
