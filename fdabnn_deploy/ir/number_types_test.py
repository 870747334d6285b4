from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir import number_types
from fdabnn_deploy.ir.number_types import distances, hex_bits, in_one_type, max_ulps, ordinals, unlike

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=True)
WHOLE = st.sampled_from(
    [name for name in sorted(number_types.NAMES) if name not in {*number_types.FLOATS, "bool"}]
)


@pytest.mark.parametrize("name", number_types.FLOATS)
@given(st.data())
def test_neighbours_are_one_ulp_apart(name: str, data: st.DataObject) -> None:
    kind = np.dtype(name).type
    x = kind(data.draw(st.floats(width=8 * kind().itemsize, allow_nan=False)))
    with np.errstate(over="ignore"):
        above = np.nextafter(x, kind(np.inf))
    if above != x:
        assert ordinals(np.array([above]))[0] - ordinals(np.array([x]))[0] == 1
        assert max_ulps(np.array([x]), np.array([above])) == 1


@given(FLOATS, FLOATS)
def test_ordinals_keep_the_order(a: float, b: float) -> None:
    x, y = ordinals(np.array([a, b], np.float32))
    assert (x < y) == (np.float32(a) < np.float32(b))
    assert (x == y) == (np.float32(a) == np.float32(b))


@given(WHOLE, st.data())
def test_integers_differ_by_python_s_own_arithmetic(name: str, data: st.DataObject) -> None:
    limits = np.iinfo(name)
    a, b = (data.draw(st.integers(int(limits.min), int(limits.max))) for _ in range(2))
    arrays = np.array([a], name), np.array([b], name)
    assert unlike(*arrays)[0].tolist() == [a != b]
    assert max_ulps(*arrays) == abs(a - b)
    assert distances(*arrays).tolist() == [float(abs(a - b))]
    assert int(hex_bits(a, name), 16) == a % 2 ** (8 * limits.dtype.itemsize)


@pytest.mark.parametrize("name", number_types.FLOATS)
def test_zeros_and_nans_of_every_float(name: str) -> None:
    a, b = np.array([0.0, np.nan, 1.0, np.inf], name), np.array([-0.0, -np.nan, np.nan, -np.inf], name)
    differ, zeros = unlike(a, b)
    assert differ.tolist() == [False, False, True, True]
    assert zeros.tolist() == [True, False, False, False]


@pytest.mark.parametrize("value", [np.complex64(1), np.str_("a"), np.datetime64("2026-01-01")])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(ModelRefusedError, match=r"output 1 is .*: only numbers and booleans"):
        in_one_type(np.array([value]), np.array([value]), "output 1")


def test_types_without_a_common_one_are_refused() -> None:
    with pytest.raises(ModelRefusedError, match="uint64 on one side and int64 on the other"):
        in_one_type(np.array([1], np.uint64), np.array([1]), "x")
