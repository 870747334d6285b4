from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ops import FloatArray
from fdabnn_deploy.parity import (
    TOP1_THRESHOLD,
    Difference,
    accuracy,
    agreement,
    compare,
    compare_layers,
    compare_outputs,
    decisions,
    ordinals,
)

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=True)


def array(*values: float | np.float32) -> FloatArray:
    return np.array(values, np.float32)


@given(FLOATS)
def test_neighbours_are_one_ulp_apart(value: float) -> None:
    x = np.float32(value)
    above = np.nextafter(x, np.float32(np.inf))
    if above != x:
        assert ordinals(array(above))[0] - ordinals(array(x))[0] == 1


@given(FLOATS, FLOATS)
def test_ordinals_keep_the_order(a: float, b: float) -> None:
    x, y = ordinals(array(a, b))
    assert (x < y) == (np.float32(a) < np.float32(b))
    assert (x == y) == (np.float32(a) == np.float32(b))


def test_zeros_of_both_signs_are_equal() -> None:
    result = compare(array(0.0, -0.0), array(-0.0, 0.0))
    assert result.equal
    assert result.max_ulps == 0
    assert result.first is None


def test_ulps_count_across_zero() -> None:
    smallest = np.float32(1e-45)
    assert compare(array(smallest), array(-smallest)).max_ulps == 2


def test_nan_equals_nan_whatever_its_bits() -> None:
    other = np.array([0x7FC00001], np.uint32).view(np.float32)
    assert compare(array(math.nan), other).equal


def test_nan_beside_a_number_has_no_distance() -> None:
    result = compare(array(1.0, math.nan, 3.0), array(1.0, 2.0, 3.5))
    assert result.differing == 2
    assert math.isinf(result.max_ulps)
    assert math.isinf(result.max_abs)
    assert result.first is not None
    assert result.first.index == (1,)
    assert math.isnan(result.first.a)


def test_equal_infinities_do_not_hide_the_largest_difference() -> None:
    result = compare(array(math.inf, 1.0), array(math.inf, 1.5))
    assert result.max_abs == 0.5
    assert result.differing == 1


def test_first_difference_names_index_and_both_values() -> None:
    a = np.zeros((2, 3, 4, 4), np.float32)
    b = a.copy()
    b[1, 2, 0, 3] = 7
    b[1, 2, 1, 0] = 9
    result = compare(a, b)
    assert result.first == Difference((1, 2, 0, 3), 0.0, 7.0)
    assert (result.values, result.differing, result.max_abs) == (96, 2, 9.0)


def test_shapes_must_fit() -> None:
    with pytest.raises(UsageError, match=r"\[2\] and \[3\]"):
        compare(array(1, 2), array(1, 2, 3))
    with pytest.raises(UsageError, match="1 outputs"):
        compare_outputs([array(1)], [array(1), array(2)])


def test_outputs_are_compared_together() -> None:
    result = compare_outputs([array(1, 2), array(3)], [array(1, 2), array(3.5)])
    assert (result.values, result.differing, result.max_abs) == (3, 1, 0.5)
    assert result.first == Difference((0,), 3.0, 3.5)


def test_the_first_of_equal_values_decides() -> None:
    assert decisions(np.array([[1, 5, 5], [2, 2, 1]], np.float32)).tolist() == [1, 0]


def test_a_single_value_decides_by_its_sign() -> None:
    assert decisions(np.array([[-0.5], [-0.0], [2]], np.float32)).tolist() == [0, 1, 1]


def test_a_picture_with_nan_never_agrees() -> None:
    a = np.array([[1, math.nan], [1, 0]], np.float32)
    assert agreement([a], [a]).same == 1


def test_the_rule_is_inclusive() -> None:
    a = np.zeros((200, 2), np.float32)
    a[:, 0] = 1
    b = a.copy()
    b[0] = b[0, ::-1]
    assert agreement([a], [b]).share == TOP1_THRESHOLD
    assert agreement([a], [b]).passed
    b[1] = b[1, ::-1]
    assert not agreement([a], [b]).passed


def test_accuracy() -> None:
    output = np.array([[1, 0], [0, 1], [math.nan, 1], [1, 0]], np.float32)
    assert accuracy([output], np.array([0, 1, 1, 1])) == 0.5
    assert accuracy([output], None) is None


def test_layers_are_compared_in_order_where_both_sides_have_them() -> None:
    a = {
        "x": np.ones((1, 2), np.float32),
        "y": np.ones((1, 2), np.float32),
        "only_a": np.ones((1, 1), np.float32),
    }
    b = {"y": np.array([[1, 2]], np.float32), "x": np.ones((1, 2), np.float32)}
    layers = compare_layers(a, b, ["only_a", "x", "y"])
    assert [layer.tensor for layer in layers] == ["x", "y"]
    assert layers[0].comparison.equal
    assert layers[1].comparison.first == Difference((0, 1), 1.0, 2.0)


def test_layers_of_different_networks_are_refused() -> None:
    x = {"x": np.ones((1, 2), np.float32)}
    with pytest.raises(UsageError, match="no tensor name in common"):
        compare_layers(x, {"z": x["x"]}, ["x"])
    with pytest.raises(UsageError, match="two different networks"):
        compare_layers(x, {"x": np.ones((1, 3), np.float32)}, ["x"])
