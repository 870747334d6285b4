from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.exact.plan import (
    PRODUCTS,
    SLICES,
    Observed,
    choose,
    fewest_slices,
    limits,
    slice_counts,
    slice_exponents,
)
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


@pytest.mark.parametrize(
    ("bits", "expected"), [(8, [1, 2, 4]), (16, [1, 2, 3, 4, 5, 6]), (None, [1, 2, 3, 4, 5, 6])]
)
def test_parts_are_added_until_the_error_is_small_enough(bits: int | None, expected: list[int]) -> None:
    """As far as they pay: three slices of 8 bits hold all that float32 has left, and no product makes up for coarse ones."""
    tolerance, found = 1.0, dict[int, float]()
    for _ in PRODUCTS:
        cut, error = choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, tolerance, bits)
        assert cut.bits == bits
        found[cut.parts] = error
        tolerance = error * 0.99
    assert list(found) == expected
    assert all(error > 2 * less for error, less in pairwise(found.values()))
    assert found[expected[-1]] < 1e-6


def test_no_more_slices_are_taken_than_asked_for() -> None:
    found = {}
    for slices in SLICES:
        cut, found[slices] = choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, 0.0, slices=slices)
        assert max(slice_counts(cut.parts)) == slices
        assert cut.bits == 8
    assert found[1] > 50 * found[2]
    assert {max(slice_counts(parts)) for parts in SLICES[1]} == {1}
    assert all(parts in SLICES[2] for parts in PRODUCTS if max(slice_counts(parts)) <= 2)


def test_an_operand_that_stays_as_it_comes_has_as_few_slices_as_asked_for() -> None:
    pixels = uniform(-128, 127, 0, 3)
    one, two = (fewest_slices(WEIGHT, pixels, SEEN, 8, most) for most in (1, 2))
    assert (one[0], two[0]) == (1, 2)
    assert one[1] > 50 * two[1]
    assert fewest_slices(WEIGHT, pixels, SEEN)[1] < two[1]


def test_slices_have_8_bits_unless_asked_otherwise() -> None:
    assert choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, 1.0)[0].bits == 8


@pytest.mark.parametrize("bits", [8, 16, None])
@pytest.mark.parametrize("tolerance", [1.0, 1e-3, 1e-5, 6e-7, 1e-7, 1e-8])
def test_the_predicted_error_is_that_of_an_emulated_sum(tolerance: float, bits: int | None) -> None:
    cut, error = choose(WEIGHT, BIAS, WIDE, SEEN, 1.0, tolerance, bits)
    assert cut.exponent is not None
    x = np.clip(RNG.normal(size=(20_000, 27)), cut.low, cut.high)
    rows = WEIGHT.reshape(8, -1)
    operand, rest = [], x
    for exponent in slice_exponents(max(-cut.low, cut.high), cut.exponent, 3):
        operand.append(np.rint(np.ldexp(rest, exponent)) * 2.0**-exponent)
        rest = rest - operand[-1]
    weights = slices_of(rows, BIAS, cut.high, cut.exponent, 3, bits)
    computed = sum(operand[a] @ weights[b].weight.T for a, b in PRODUCTS[cut.parts])
    exact = x @ rows.T
    relative = np.sqrt(np.mean(np.square(computed - exact)) / np.mean(np.square(exact)))
    assert error / 4 < relative < error * 2


SIGNS = WEIGHT, BIAS, uniform(-1, 1, 0, 3), Observed(-1, 1, 1.0), 1.5
"""A layer whose operand is signs."""


@pytest.mark.parametrize(("bits", "parts", "least"), [(None, 2, 1e-12), (8, 4, 1e-6)])
def test_an_exact_operand_needs_no_slices_and_its_weights_may(
    bits: int | None, parts: int, least: float
) -> None:
    """Its product with a slice of the operand that is not there is left out when the layer is made."""
    cut, error = choose(*SIGNS, 1e-12, bits)
    assert (cut.exponent, cut.parts) == (None, parts)
    assert error < least


@pytest.mark.parametrize(("bits", "parts"), [(None, 1), (8, 2)])
def test_operands_on_a_coarse_grid_stay_as_they_are(bits: int | None, parts: int) -> None:
    cut, error = choose(*SIGNS, 1e-3, bits)
    assert (cut.low, cut.high, cut.exponent, cut.parts) == (-1, 1, None, parts)
    assert error < 1e-3


def test_operands_that_are_always_zero_need_nothing() -> None:
    cut, error = choose(WEIGHT, 0 * BIAS, uniform(0, 0, 64, 3), Observed(0, 0, 0.0), 1.5, 1e-6)
    assert (cut.low, cut.high, cut.exponent, cut.parts, error) == (0, 0, None, 1, 0)


def test_weights_of_zeros_need_nothing() -> None:
    assert choose(0 * WEIGHT, BIAS, WIDE, SEEN, 1.0, 1e-6)[1] == 0
