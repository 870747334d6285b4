"""Max-pooling of signs at every level against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library, reference

POOLS = {threads: library.Pool(threads) for threads in (1, 2, 3)}

pairs = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(
    st.tuples(st.integers(0, 3), st.integers(1, 14), st.integers(1, 14), st.integers(1, 9)),
    pairs,
    pairs,
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(POOLS)),
)
@example((2, 56, 56, 4), (3, 3), (2, 2), True, 0, 3)
@example((1, 2, 2, 1), (5, 5), (1, 1), True, 0, 1)
def test_pools(
    shape: tuple[int, int, int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    same: bool,
    seed: int,
    threads: int,
) -> None:
    assume(same or (shape[1] >= kernel[0] and shape[2] >= kernel[1]))
    # Half of a half of a half: windows without a +1 are as frequent as others.
    bits = np.bitwise_or.reduce(np.random.default_rng(seed).integers(0, 2**32, (3, *shape), dtype=np.uint32))
    expected = reference.bmaxpool(bits, kernel, stride, same)
    for level in library.levels():
        padding: library.Padding = "same" if same else "valid"
        result = library.bmaxpool(bits, kernel, stride, padding, level=level, pool=POOLS[threads])
        np.testing.assert_array_equal(result, expected, err_msg=level)


@pytest.mark.parametrize(
    ("shape", "kernel", "stride", "reason"),
    [
        ((1, 4, 4, 1), (5, 1), (1, 1), "window of 5 x 1 on an input of 4 x 4"),
        ((1, 4, 4, 1), (0, 1), (1, 1), "window of 0 x 1"),
        ((1, 4, 4, 1), (1, 1), (1, -2), "strides 1, -2"),
        ((1, 0, 4, 1), (1, 1), (1, 1), "size is out of range: 0 x 4"),
        ((1, 4, 4, 1), (2**31 - 1, 1), (1, 1), "window of 2147483647 x 1"),
    ],
)
def test_refusals(
    shape: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], reason: str
) -> None:
    with pytest.raises(UsageError, match=reason):
        library.bmaxpool(np.zeros(shape, np.uint32), kernel, stride, "valid")


def test_a_window_beyond_all_bounds() -> None:
    words = np.full((1, 3, 3, 2), 5, np.uint32)
    assert (library.bmaxpool(words, (2**31 - 1, 2**31 - 1), (2**31 - 1, 1), "same") == 5).all()
