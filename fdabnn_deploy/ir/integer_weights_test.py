from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.integer_weights import integer_weights


@pytest.mark.parametrize(("most", "kind"), [(127, np.int8), (128, np.int16), (32767, np.int16)])
def test_integers_times_powers_of_two(most: int, kind: type[np.generic]) -> None:
    rng = np.random.default_rng(most)
    integers = rng.integers(-most, most + 1, (5, 3, 2, 2))
    integers[:, 0, 0, 0] = most
    integers[4] = 0
    exponents = np.array([-30, 3, 0, -7, -2])
    weight = np.ldexp(integers.astype(np.float32), exponents.reshape(-1, 1, 1, 1)).astype(np.float32)
    found = integer_weights(weight)
    assert found is not None
    assert found.integers.dtype == kind
    np.testing.assert_array_equal(found.integers * found.scales.reshape(-1, 1, 1, 1), weight)
    assert found.exponents[4] == 0


def test_signs_and_zeros() -> None:
    signs = np.array([[1, -1], [0, 0]], np.float32)
    found = integer_weights(signs)
    assert found is not None
    np.testing.assert_array_equal(found.integers, signs)
    np.testing.assert_array_equal(found.exponents, [0, 0])


@pytest.mark.parametrize(
    "weight",
    [[[1.0, 2.0**-20]], [[0.1, 0.3]], [[np.inf, 1.0]], [[np.nan, 1.0]], [[1e-38, 0.0]]],
    ids=["wide", "all bits", "infinite", "none", "tiny"],
)
def test_other_weights_stay_floats(weight: list[list[float]]) -> None:
    assert integer_weights(np.array(weight, np.float32)) is None


def test_bits_at_most() -> None:
    assert integer_weights(np.array([[128.0, 1.0]], np.float32), bits=8) is None
