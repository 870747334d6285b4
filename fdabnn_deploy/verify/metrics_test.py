from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fdabnn_deploy.errors import ModelRefusedError, ParityError, UsageError
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.verify.metrics import (
    TOP1_THRESHOLD,
    Difference,
    accuracy,
    agreement,
    compare,
    compare_layers,
    compare_outputs,
    decisions,
    differing_images,
)

LARGEST = float(np.finfo(np.float32).max)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=True)


def array(*values: float | np.float32) -> FloatArray:
    return np.array(values, np.float32)


PATTERNS = st.lists(
    st.one_of(
        st.integers(0, 2**32 - 1),
        st.sampled_from([0, 1 << 31, 1, (1 << 31) + 1, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00001, 0x7F800001]),
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


def from_bits(patterns: list[int]) -> FloatArray:
    return np.array(patterns, np.uint32).view(np.float32)


def differs(a: int, b: int) -> bool:
    """The rule, on two bit patterns."""
    both_nan = (a & 0x7FFFFFFF) > 0x7F800000 and (b & 0x7FFFFFFF) > 0x7F800000
    both_zero = (a | b) & 0x7FFFFFFF == 0
    return a != b and not both_nan and not both_zero


@given(PATTERNS, st.data())
def test_bits_decide(a: list[int], data: st.DataObject) -> None:
    b = [data.draw(st.one_of(st.just(x), st.integers(0, 2**32 - 1), st.just(x ^ 1 << 31))) for x in a]
    result = compare(from_bits(a), from_bits(b))
    expected = [differs(x, y) for x, y in zip(a, b, strict=True)]
    assert result.differing == sum(expected)
    assert result.zero_signs == sum(x != y and (x | y) & 0x7FFFFFFF == 0 for x, y in zip(a, b, strict=True))
    assert result.equal == result.passed == (not any(expected))
    if result.first is None:
        assert not any(expected)
    else:
        assert result.first.index == (expected.index(True),)
        assert result.max_ulps >= 1
        assert result.max_abs >= result.mean_abs > 0


@given(FLOATS)
@example(LARGEST)
@example(-math.inf)
def test_neighbours_differ_by_one_ulp_however_small(value: float) -> None:
    x = np.float32(value)
    with np.errstate(over="ignore"):  # behind the largest float32 comes infinity
        above = np.nextafter(x, np.float32(np.inf))
    if above != x:
        result = compare(array(x), array(above))
        assert (result.differing, result.max_ulps) == (1, 1)


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=6), st.floats(0, 1e3))
def test_only_the_tolerance_asked_for_is_tolerated(pairs: list[tuple[float, float]], atol: float) -> None:
    a, b = array(*(x for x, _ in pairs)), array(*(y for _, y in pairs))
    result = compare(a, b, atol)
    distances = [abs(float(x) - float(y)) for x, y in zip(a, b, strict=True) if x != y]
    assert result.differing == len(distances)
    assert result.tolerated == sum(distance <= atol for distance in distances)
    assert result.passed == (result.tolerated == len(distances))
    assert compare(a, b).tolerated == 0


def test_a_nan_is_never_within_the_tolerance() -> None:
    result = compare(array(1.0, 2.0), array(math.nan, 2.5), math.inf)
    assert (result.differing, result.tolerated, result.passed) == (2, 1, False)


def test_a_difference_shows_its_bits() -> None:
    first = compare(array(1.0), array(-0.0)).first
    assert first is not None
    assert (first.a_bits, first.b_bits) == ("0x3f800000", "0x80000000")
    smallest = compare(array(1e-45), array(0.0)).first
    assert smallest is not None
    assert (smallest.a_bits, smallest.b_bits) == ("0x00000001", "0x00000000")


def test_the_mean_is_over_all_values() -> None:
    result = compare_outputs([array(1, 2), array(3, 4)], [array(1, 2.5), array(3, 2.5)])
    assert result.mean_abs == 0.5
    assert compare_outputs([array(1, 2), array(3)], [array(1, 2.5), array(5)], 0.5).tolerated == 1


def test_images_that_differ() -> None:
    a = [np.zeros((4, 2), np.float32), np.zeros((4, 1, 2), np.float32)]
    b = [x.copy() for x in a]
    b[0][1] = -0.0
    b[0][2, 1] = 1
    b[1][3, 0, 0] = math.nan
    assert differing_images(a, b).tolist() == [2, 3]


def test_zeros_of_both_signs_are_equal() -> None:
    result = compare(array(0.0, -0.0, 0.0), array(-0.0, 0.0, 0.0))
    assert result.equal
    assert result.zero_signs == 2
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


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ModelRefusedError, match=r"\[2\] and \[3\]"):
        compare(array(1, 2), array(1, 2, 3))
    with pytest.raises(ModelRefusedError, match="1 outputs"):
        compare_outputs([array(1)], [array(1), array(2)])
    with pytest.raises(ModelRefusedError, match="output 0 is float32 on one side and float64 on the other"):
        compare_outputs([array(1)], [np.ones(1)])
    with pytest.raises(ModelRefusedError, match="output 0 has one shape on one side, and one per input"):
        compare_outputs([array(1)], [objects((array(1),))])


def objects(*images: tuple[Array, ...]) -> Array:
    values = np.empty(len(images), object)
    for i, image in enumerate(images):
        values[i] = image
    return values


@pytest.mark.parametrize(
    ("a", "b", "ulps", "bits"),
    [
        (np.int64(16777216), np.int64(16777217), 1, ("0x0000000001000000", "0x0000000001000001")),
        (np.int64(-(2**63)), np.int64(2**63 - 1), 2**64 - 1, ("0x8000000000000000", "0x7fffffffffffffff")),
        (np.uint64(2**64 - 1), np.uint64(2**64 - 2), 1, ("0xffffffffffffffff", "0xfffffffffffffffe")),
        (
            np.float64(1.5),
            np.float64(1.5 * (1 + 2**-40)),
            3 << 11,
            ("0x3ff8000000000000", "0x3ff8000000001800"),
        ),
        (np.float16(1), np.float16(-1), 2 * 0x3C00, ("0x3c00", "0xbc00")),
        (np.bool_(False), np.bool_(True), 1, ("0x00", "0x01")),
        (np.int8(-128), np.int8(127), 255, ("0x80", "0x7f")),
    ],
)
def test_values_differ_in_their_own_type(a: Any, b: Any, ulps: int, bits: tuple[str, str]) -> None:
    both = np.array([a, a]), np.array([a, b])
    result = compare(*both)
    assert (result.values, result.differing, result.max_ulps) == (2, 1, ulps)
    assert result.max_abs == abs(float(int(b) - int(a)) if both[0].dtype.kind != "f" else float(b) - float(a))
    assert result.first is not None
    assert (result.first.index, result.first.dtype, result.first.a, result.first.b) == (
        (1,),
        both[0].dtype.name,
        a,
        b,
    )
    assert (result.first.a_bits, result.first.b_bits) == bits
    assert compare(both[0], both[0]).equal
    assert differing_images([both[0]], [both[1]]).tolist() == [1]


def test_integers_of_two_widths_are_compared_by_their_values() -> None:
    assert compare(np.array([1, -2], np.int32), np.array([1, -2])).equal
    assert compare(np.array([200], np.uint8), np.array([-56], np.int8)).differing == 1


def test_outputs_with_a_shape_per_input_are_compared_one_by_one() -> None:
    a = objects((np.ones((2, 3), np.float32), np.array([1])), (np.ones((1, 3), np.float32), np.array([2])))
    assert compare_outputs([a], [a]).values == 11
    b = objects(a[0], (np.array([[1, 1, 2]], np.float32), np.array([3])))
    result = compare_outputs([a], [b])
    assert (result.values, result.differing) == (11, 2)
    assert result.first == Difference((1, 0, 0, 2), 1.0, 2.0)
    assert differing_images([a], [b]).tolist() == [1]
    assert agreement([a], [b]) == agreement([b], [a])
    with pytest.raises(
        ParityError, match=r"output 0 of input 0 is \[2, 3\] on one side and \[1, 3\] on the other"
    ):
        compare_outputs([a], [objects(a[1], a[1])])
    with pytest.raises(
        ParityError, match="output 0 of input 1 is a sequence of 2 tensors on one side and of 0"
    ):
        compare_outputs([a], [objects(a[0], ())])


def test_nothing_is_no_decision() -> None:
    nothing = np.zeros((3, 0), np.float32)
    assert compare_outputs([nothing], [nothing]).values == 0
    assert agreement([nothing], [nothing]).same == 0
    assert agreement([objects(())], [objects(())]).same == 0


def test_an_integer_is_its_own_decision() -> None:
    labels = np.array([[-1], [7]])
    assert decisions(labels).tolist() == [-1, 7]
    assert agreement([labels], [labels]).same == 2
    assert decisions(np.array([True, False])).tolist() == [1, 0]


def test_outputs_are_compared_together() -> None:
    result = compare_outputs([array(1, 2), array(3)], [array(1, 2), array(3.5)])
    assert (result.values, result.differing, result.max_abs) == (3, 1, 0.5)
    assert result.first == Difference((0,), 3.0, 3.5)


def test_the_first_of_equal_values_decides() -> None:
    assert decisions(np.array([[1, 5, 5], [2, 2, 1]], np.float32)).tolist() == [1, 0]


def test_a_single_value_decides_by_its_sign() -> None:
    assert decisions(np.array([[-0.5], [-0.0], [2]], np.float32)).tolist() == [0, 1, 1]


def test_a_image_with_nan_never_agrees() -> None:
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
