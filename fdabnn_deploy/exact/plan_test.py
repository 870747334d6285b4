from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.exact.plan import PRODUCTS, Observed, choose, limits, slice_exponents
from fdabnn_deploy.exact.weight_grids import slices_of
from fdabnn_deploy.ir.ranges import uniform

WIDE = uniform(-1e6, 1e6, 60, 3)
RNG = np.random.default_rng(0)
WEIGHT, BIAS = RNG.normal(size=(8, 3, 3, 3)), RNG.normal(size=8)
SEEN = Observed(-2.0, 2.5, 1.0)


@given(low=st.floats(-1e4, -1e-6), high=st.floats(1e-6, 1e4), margin=st.floats(1, 2))
def test_limits_take_in_what_was_seen_and_do_not_depend_on_its_last_bits(
    low: float, high: float, margin: float
) -> None:
    seen = Observed(low, high, 1.0)
    least, largest = limits(seen, WIDE, margin)
    assert least <= low * margin
    assert largest >= high * margin
    assert -least == largest
    assert largest <= max(abs(low), abs(high)) * margin * 1.126
    nudged = Observed(low * (1 - 2.0**-40), high * (1 - 2.0**-40), 1.0)
    mantissa = np.frexp(max(abs(low), abs(high)) * margin)[0] * 16
    if abs(mantissa - np.rint(mantissa)) > 1e-6:
        assert limits(nudged, WIDE, margin) == (least, largest)


def test_limits_keep_to_what_is_proven() -> None:
    assert limits(Observed(-5, 5, 1.0), uniform(-1, 1, 0, 3), 1.5) == (-1, 1)
    assert limits(Observed(0, 3, 1.0), uniform(0, 1e9, 60, 3), 1.0) == (0, 3)


def test_parts_are_added_until_the_error_is_small_enough() -> None:
    tolerance, found = 1.0, []
    for _ in PRODUCTS:
        cut, error = choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, tolerance)
        found.append((cut.parts, error))
        tolerance = error * 0.99
    assert [parts for parts, _ in found] == [1, 2, 3, 6]
    errors = [error for _, error in found]
    assert all(error > 10 * less for error, less in pairwise(errors))


@pytest.mark.parametrize("tolerance", [1.0, 1e-3, 1e-5, 1e-7])
def test_the_predicted_error_is_that_of_an_emulated_sum(tolerance: float) -> None:
    cut, error = choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, tolerance)
    assert cut.exponent is not None
    x = np.clip(RNG.normal(size=(20_000, 27)), cut.low, cut.high)
    rows = WEIGHT.reshape(8, -1)
    operand, rest = [], x
    for exponent in slice_exponents(max(-cut.low, cut.high), cut.exponent, 3):
        operand.append(np.rint(np.ldexp(rest, exponent)) * 2.0**-exponent)
        rest = rest - operand[-1]
    weights = slices_of(rows, BIAS, cut.high, cut.exponent, 3)
    computed = sum(operand[a] @ weights[b].weight.T for a, b in PRODUCTS[cut.parts])
    exact = x @ rows.T
    relative = np.sqrt(np.mean(np.square(computed - exact)) / np.mean(np.square(exact)))
    assert error / 4 < relative < error * 2


def test_an_exact_operand_needs_no_slices_and_its_weights_may() -> None:
    cut, error = choose(WEIGHT, BIAS, uniform(-1, 1, 0, 3), Observed(-1, 1, 1.0), 1.5, 1e-12)
    assert (cut.exponent, cut.parts) == (None, 2)
    assert error < 1e-12


def test_operands_on_a_coarse_grid_stay_as_they_are() -> None:
    cut, error = choose(WEIGHT, BIAS, uniform(-1, 1, 0, 3), Observed(-1, 1, 1.0), 1.5, 1e-3)
    assert (cut.low, cut.high, cut.exponent, cut.parts) == (-1, 1, None, 1)
    assert error < 1e-6


def test_operands_that_are_always_zero_need_nothing() -> None:
    cut, error = choose(WEIGHT, 0 * BIAS, uniform(0, 0, 64, 3), Observed(0, 0, 0.0), 1.5, 1e-6)
    assert (cut.low, cut.high, cut.exponent, cut.parts, error) == (0, 0, None, 1, 0)


def test_weights_of_zeros_need_nothing() -> None:
    assert choose(0 * WEIGHT, BIAS, WIDE, SEEN, 1.0, 1e-6)[1] == 0
