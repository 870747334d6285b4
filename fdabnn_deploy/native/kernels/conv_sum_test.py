"""Differences of convolutions at every level against NumPy, bit by bit: sums of whole numbers, which are exact in any order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library, reference
from fdabnn_deploy.native.conv_sum import SUBTRACT, ConvSum, ConvSumParams, Floats, Term
from fdabnn_deploy.native.kernels.windows_testing import dilations, strides

POOLS = {threads: library.Pool(threads) for threads in (1, 2, 3)}
MULTIPLY_ADDS = 2_000_000  # of one example, for the scalar level
EXACT = 2**24

# Below, at and above the blocks of 1, 2 and 4 vectors of 4, 8 and 16 channels.
output_counts = st.one_of(
    st.integers(1, 20), st.sampled_from([31, 32, 33, 47, 48, 63, 64, 65, 80, 112, 128, 129])
)
sizes = st.one_of(st.integers(1, 9), st.integers(1, 31))
kernels = st.one_of(
    st.sampled_from([(1, 1), (3, 3), (7, 7)]), st.tuples(st.integers(1, 5), st.integers(1, 5))
)


def chain(count: int) -> list[int]:
    """c_0 - c_1 - c_2 ..."""
    return [0, *(item for i in range(1, count) for item in (i, SUBTRACT))]


@st.composite
def trees(draw: st.DrawFn, count: int) -> list[int]:
    """Any tree over so many terms in any order, in postfix notation."""
    parts = [[term] for term in draw(st.permutations(range(count)))]
    while len(parts) > 1:
        place = draw(st.integers(0, len(parts) - 2))
        parts[place : place + 2] = [[*parts[place], *parts[place + 1], SUBTRACT]]
    return parts[0]


@st.composite
def sums(draw: st.DrawFn) -> tuple[ConvSumParams, tuple[int, int, int], list[int]]:
    """Parameters, the inputs' batch, height and width, and an expression."""
    kernel_h, kernel_w = draw(kernels)
    params = ConvSumParams(
        channels_in=draw(st.one_of(st.integers(1, 9), st.sampled_from([16, 33, 64, 130, 300]))),
        channels_out=draw(output_counts),
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        **strides(draw),
        **dilations(draw),
        same_padding=draw(st.booleans()),
        planes=draw(st.booleans()),
    )
    if not params.same_padding and draw(st.booleans()):
        rows, columns = (kernel_h - 1) * params.dilation_h, (kernel_w - 1) * params.dilation_w
        params = replace(
            params,
            pad_top=draw(st.integers(0, rows)),
            pad_left=draw(st.integers(0, columns)),
            pad_bottom=draw(st.integers(0, rows)),
            pad_right=draw(st.integers(0, columns)),
        )
    shape = (draw(st.sampled_from([1, 1, 2, 3])), draw(sizes), draw(sizes))
    (height, _), (width, _) = reference.conv_sum_axes(params, *shape[1:])
    assume(height > 0 and width > 0)
    count = draw(st.integers(1, 7))
    macs = shape[0] * height * width * params.channels_out * kernel_h * kernel_w * params.channels_in * count
    assume(macs <= MULTIPLY_ADDS)
    return params, shape, draw(trees(count))


def draw_arrays(
    params: ConvSumParams, shape: tuple[int, int, int], count: int, seed: int
) -> tuple[list[Floats], list[Term]]:
    """Whole numbers whose sums stay below 2^24 units, each term in units of its own: the differences round, and their order matters.

    Inputs and filters share the 24 bits in any way: often both fit in 16 bits, often one does not.
    """
    generator = np.random.default_rng(seed)
    product = EXACT // (params.kernel_h * params.kernel_w * params.channels_in + 1)
    largest = int(product ** generator.uniform(0, 1))

    def numbers(limit: int, *size: int) -> Any:
        return generator.integers(-limit, limit, size, endpoint=True)

    units = 2.0 ** generator.integers(-9, 10, int(generator.integers(1, 4)))
    batch, *image = shape
    whole = (batch, params.channels_in, *image) if params.planes else (batch, *image, params.channels_in)
    inputs = [(numbers(largest, *whole) * unit).astype(np.float32) for unit in units]
    size = (params.channels_out, params.kernel_h, params.kernel_w, params.channels_in)
    terms = []
    for i in range(count):
        source = i if i < len(inputs) else int(generator.integers(len(inputs)))
        unit = 2.0 ** (generator.integers(0, 3, params.channels_out) - int(generator.integers(0, 24)))
        filters = numbers(product // largest, *size) * unit[:, None, None, None]
        bias = numbers(product, params.channels_out) * unit * units[source]
        terms.append(Term(source, filters.astype(np.float32), bias.astype(np.float32)))
    return inputs[: 1 + max(term.input for term in terms)], terms


def assert_same_bits(result: Floats, expected: Floats, what: str = "") -> None:
    np.testing.assert_array_equal(result.view(np.uint32), expected.view(np.uint32), err_msg=what)


def check(
    params: ConvSumParams, shape: tuple[int, int, int], expression: list[int], seed: int, threads: int
) -> None:
    inputs, terms = draw_arrays(params, shape, (len(expression) + 1) // 2, seed)
    expected = reference.conv_sum(params, inputs, terms, expression)
    for level in library.levels():
        result = ConvSum(params, terms, expression, level=level)(inputs, POOLS[threads])
        assert_same_bits(result, expected, f"{level}: {params}")


@given(sums(), st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3]))
@settings(
    max_examples=2 * settings().max_examples,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
def test_drawn(drawn: tuple[ConvSumParams, tuple[int, int, int], list[int]], seed: int, threads: int) -> None:
    check(*drawn, seed, threads)


CASES = {
    "7x7 stride 2": (ConvSumParams(3, 64, 7, 7, 2, 2, same_padding=True), (1, 30, 33)),
    "1x1 stride 2": (ConvSumParams(64, 128, 1, 1, 2, 2), (2, 9, 9)),
    "several chunks": (ConvSumParams(130, 80, 3, 3, same_padding=True), (1, 7, 13)),
    "several strips": (ConvSumParams(2, 16, 3, 3, same_padding=True), (3, 50, 11)),
    "dilated beyond the image": (ConvSumParams(3, 5, 3, 3, 1, 1, 9, 8, same_padding=True), (1, 5, 6)),
    "one pixel": (ConvSumParams(7, 33, 5, 4), (1, 5, 4)),
    "planes": (ConvSumParams(3, 64, 7, 7, 2, 2, 1, 1, False, 3, 3, 3, 3, planes=True), (2, 40, 33)),
    "planes of many channels": (ConvSumParams(70, 130, 1, 1, planes=True), (2, 9, 7)),
    "padded on some sides": (ConvSumParams(5, 20, 3, 3, pad_top=2, pad_right=1, planes=True), (1, 8, 17)),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("threads", [1, 2])
def test_shapes(name: str, threads: int) -> None:
    params, shape = CASES[name]
    for expression in (
        chain(1),
        chain(6),
        [0, 1, 2, SUBTRACT, SUBTRACT],
        [0, 1, -1, 2, 3, -1, 4, 5, -1, -1, -1],
    ):
        check(params, shape, expression, 7, threads)


def test_the_order_of_the_differences_shows() -> None:
    """Shows that the sums of the tests above round, so that a wrong order would be seen."""
    params, differences = ConvSumParams(3, 8, 3, 3), 0
    for seed in range(20):
        inputs, terms = draw_arrays(params, (1, 12, 12), 3, seed)
        left = ConvSum(params, terms, [0, 1, SUBTRACT, 2, SUBTRACT])(inputs)
        right = ConvSum(params, terms, [0, 2, SUBTRACT, 1, SUBTRACT])(inputs)
        differences += int(np.any(left != right))
    assert differences >= 5


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 2.0**-140, 1 + 2.0**-20])
def test_values_that_are_no_whole_numbers(value: float) -> None:
    """A strip with one of them is not computed in whole numbers, and its neighbours come out as they would without it."""
    params = ConvSumParams(3, 40, 3, 3, same_padding=True)
    inputs, terms = draw_arrays(params, (1, 60, 9), 2, 3)
    plain = ConvSum(params, terms, chain(2))(inputs)
    inputs[0][0, 31, 4, 1] = value
    with np.errstate(invalid="ignore"):
        expected = reference.conv_sum(params, inputs, terms, chain(2))
    for level in library.levels():
        result = ConvSum(params, terms, chain(2), level=level)(inputs)
        touched = np.zeros(result.shape, np.bool_)
        touched[:, 30:33, 3:6] = True
        np.testing.assert_array_equal(result[~touched], plain[~touched])
        # There the sums round, each level's in its own way.
        error = 1e-6 * np.abs(expected[np.isfinite(expected)]).max()
        np.testing.assert_allclose(result[touched], expected[touched], rtol=1e-6, atol=error)


def test_a_size_may_change() -> None:
    params = ConvSumParams(3, 20, 3, 3, same_padding=True)
    inputs, terms = draw_arrays(params, (2, 40, 41), 2, 5)
    prepared = ConvSum(params, terms, chain(2))
    for size in (8, 3, 40, 8):
        part = [np.ascontiguousarray(values[:, :size, : size + 1]) for values in inputs]
        assert_same_bits(prepared(part), reference.conv_sum(params, part, terms, chain(2)))


@pytest.mark.parametrize("expression", [[], [0, 1], [SUBTRACT], [0, SUBTRACT], [0, 1, -2], [0, 2, SUBTRACT]])
def test_a_damaged_expression_is_refused(expression: list[int]) -> None:
    _, terms = draw_arrays(ConvSumParams(1, 1), (1, 1, 1), 2, 0)
    with pytest.raises(UsageError, match="its expression is damaged"):
        ConvSum(ConvSumParams(1, 1), terms, expression)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stride_h": 0}, "a stride or dilation is below 1"),
        ({"dilation_w": -1}, "a stride or dilation is below 1"),
        ({"pad_left": -1}, "its padding is negative"),
        ({"pad_bottom": 1}, "not smaller than its dilated filter"),
    ],
)
def test_wrong_sizes_are_refused(change: dict[str, Any], reason: str) -> None:
    params = ConvSumParams(1, 1)
    _, terms = draw_arrays(params, (1, 1, 1), 1, 0)
    with pytest.raises(UsageError, match=reason):
        ConvSum(replace(params, **change), terms, [0])


def test_an_input_without_room_for_the_filter_is_refused() -> None:
    params = ConvSumParams(1, 1, 3, 3)
    inputs, terms = draw_arrays(params, (1, 2, 3), 1, 0)
    with pytest.raises(UsageError, match="its input is smaller than its filter"):
        ConvSum(params, terms, [0])(inputs)


def test_windows_beyond_memory_are_refused() -> None:
    params = ConvSumParams(1, 1, 3, 3, dilation_h=2**31 - 1, dilation_w=2**31 - 1, same_padding=True)
    inputs, terms = draw_arrays(params, (1, 2, 3), 1, 0)
    with pytest.raises(UsageError, match="is too large"):
        ConvSum(params, terms, [0])(inputs)
