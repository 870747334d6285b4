from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.numerics.plan import Observed, choose, fine_exponent, limits
from fdabnn_deploy.numerics.values import uniform

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
    one, error_one = choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, 1.0)
    two, error_two = choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, error_one * 0.99)
    three, error_three = choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, error_two * 0.99)
    assert [cut.parts for cut in (one, two, three)] == [1, 2, 3]
    assert error_one > 10 * error_two
    assert error_two > 10 * error_three


@pytest.mark.parametrize("tolerance", [1.0, 1e-3, 1e-6])
def test_the_predicted_error_is_that_of_an_emulated_sum(tolerance: float) -> None:
    from fdabnn_deploy.numerics.weight_grids import split_to_grid, to_grid

    cut, error = choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, tolerance)
    assert cut.exponent is not None
    x = np.clip(RNG.normal(size=(20_000, 27)), cut.low, cut.high)
    rows = WEIGHT.reshape(8, -1)
    coarse = np.rint(np.ldexp(x, cut.exponent)) * 2.0**-cut.exponent
    fine = fine_exponent(max(-cut.low, cut.high), cut.exponent)
    rest = np.rint(np.ldexp(x - coarse, fine)) * 2.0**-fine
    if cut.parts == 1:
        computed = coarse @ to_grid(rows, BIAS, cut.high, cut.exponent).weight.T
    else:
        split = split_to_grid(rows, BIAS, cut.high, cut.exponent)
        computed = coarse @ (split.coarse.weight + split.fine.weight).T
        computed += rest @ split.coarse.weight.T if cut.parts == 3 else 0
    exact = x @ rows.T
    relative = np.sqrt(np.mean(np.square(computed - exact)) / np.mean(np.square(exact)))
    assert error / 4 < relative < error * 2


def test_operands_on_a_coarse_grid_stay_as_they_are() -> None:
    cut, error = choose(WEIGHT, BIAS, uniform(-1, 1, 0, 3), Observed(-1, 1, 1.0), 1.5, 1e-3)
    assert (cut.low, cut.high, cut.exponent, cut.parts) == (-1, 1, None, 1)
    assert error < 1e-6


def test_weights_of_zeros_need_nothing() -> None:
    assert choose(0 * WEIGHT, BIAS, WIDE, SEEN, 1.0, 1e-6)[1] == 0
