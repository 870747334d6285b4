from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.exact.weight_grids import Gridded, slices_of, to_grid
from fdabnn_deploy.ir.ranges import EXACT_UNITS, grid_of


def in_units(gridded: Gridded, magnitude: float, exponent: int) -> list[int]:
    """The bound of the sums per channel, in Python's integers; fails where a parameter is off its grid."""
    units = int(magnitude * 2**exponent) if exponent >= 0 else int(magnitude / 2**-exponent)
    bounds = []
    for row, bias, j in zip(
        gridded.weight.reshape(len(gridded.weight), -1), gridded.bias, gridded.exponents.tolist(), strict=True
    ):
        weights = [float(w) * 2.0**j for w in row]
        offset = float(bias) * 2.0 ** (j + exponent)
        assert all(w.is_integer() for w in [*weights, offset])
        bounds.append(sum(abs(int(w)) for w in weights) * units + abs(int(offset)))
    return bounds


@given(
    seed=st.integers(0, 2**32 - 1),
    taps=st.integers(1, 600),
    exponent=st.integers(-4, 20),
    magnitude=st.floats(0.01, 1000),
    weight_scale=st.floats(1e-6, 1e6),
    bias_scale=st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
)
def test_every_sum_stays_below_the_bound_and_one_bit_more_would_not(
    seed: int, taps: int, exponent: int, magnitude: float, weight_scale: float, bias_scale: float
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(5, taps, 1, 1)) * weight_scale
    bias = rng.normal(size=5) * bias_scale
    magnitude = np.ceil(magnitude * 2.0**exponent) / 2.0**exponent
    gridded = to_grid(weight, bias, magnitude, exponent)
    bounds = in_units(gridded, magnitude, exponent)
    assert all(bound < EXACT_UNITS for bound in bounds)
    assert np.array_equal(gridded.weight.astype(np.float32), gridded.weight)
    assert np.array_equal(gridded.bias.astype(np.float32), gridded.bias)
    if taps * magnitude * 2.0**exponent < 2**16:
        # Rounding moves the sum by half a unit per tap, far less than the factor of 4 that two more bits cost.
        assert all(bound >= EXACT_UNITS / 8 for bound in bounds)


def test_parameters_that_are_exact_already_stay() -> None:
    weight = np.array([[0.5, -0.25, 3.0]])
    gridded = to_grid(weight, np.array([1.5]), 4.0, 3)
    assert np.array_equal(gridded.weight, weight)
    assert gridded.bias.tolist() == [1.5]


def test_zero_weights_and_zero_operands() -> None:
    gridded = to_grid(np.zeros((2, 3)), np.array([0.0, 0.3]), 2.0, 4)
    assert not np.any(gridded.weight)
    assert gridded.bias[1] == pytest.approx(0.3, rel=1e-6)
    assert grid_of(to_grid(np.array([[0.3]]), np.array([-0.0]), 0.0, 4).weight.astype(np.float32)) >= 0
    assert not np.any(np.signbit(to_grid(np.array([[-1e-30, 1.0]]), np.array([-0.0]), 1.0, 4).weight))


def test_every_slice_is_far_closer_than_those_in_front_of_it() -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(10, 512)), rng.normal(size=10)
    slices = slices_of(weight, bias, 8.0, 8, 3)
    assert all(bound < EXACT_UNITS for part in slices for bound in in_units(part, 8.0, 8))
    sums = [sum(part.weight for part in slices[: count + 1]) for count in range(3)]
    errors = [float(np.abs(total - weight).max()) for total in sums]
    assert all(less < error / 30 for error, less in pairwise(errors))
    assert np.array_equal(sums[0], to_grid(weight, bias, 8.0, 8).weight)


def test_slices_of_what_fits_into_one_are_zeros() -> None:
    slices = slices_of(np.array([[0.5, -0.25]]), np.array([1.5]), 1.0, 0, 2)
    assert slices[0].weight.tolist() == [[0.5, -0.25]]
    assert not np.any(slices[1].weight)
    assert not np.any(slices[1].bias)
