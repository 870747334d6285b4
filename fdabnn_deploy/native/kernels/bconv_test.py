"""Binary convolution at every level against NumPy, bit by bit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library, reference
from fdabnn_deploy.native.bconv import ACTIVATIONS, OUTPUTS, Activation, Bconv, BconvParams, Output
from fdabnn_deploy.native.kernels.windows_testing import dilations, strides

POOLS = {threads: library.Pool(threads) for threads in (1, 2, 3)}
MULTIPLY_ADDS = 400_000  # of one example: NumPy is slow
INT_MIN, INT_MAX = -(2**31), 2**31 - 1

# Words of a group: one, the halves and ends of vectors of 2, 4, 8 and 16 words, and what lies beside them.
channel_counts = st.one_of(
    st.integers(1, 40),
    st.sampled_from([63, 64, 65, 96, 127, 128, 129, 160, 192, 224, 255, 256, 257, 288, 480, 512, 520]),
    st.integers(1, 520),
)
# Blocks of 4, 8 and 16 channels, two and four of them.
output_counts = st.one_of(st.integers(1, 34), st.sampled_from([47, 48, 49, 63, 64, 65, 80, 127, 128, 129]))
sizes = st.one_of(st.integers(1, 9), st.integers(1, 31))
kernels = st.one_of(
    st.sampled_from([(1, 1), (3, 3), (3, 3), (3, 3)]), st.tuples(st.integers(1, 5), st.integers(1, 5))
)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[BconvParams, tuple[int, int, int]]:
    """Parameters and the input's batch, height and width, small enough for NumPy."""
    output = draw(st.sampled_from(OUTPUTS))
    same = draw(st.booleans())
    one_padded = output != "float" or draw(st.booleans())
    activation = draw(st.sampled_from(ACTIVATIONS)) if one_padded or not same else "none"
    kernel_h, kernel_w = draw(kernels)
    groups = draw(st.sampled_from([1, 1, 1, 1, 2, 3]))
    params = BconvParams(
        channels_in=draw(channel_counts) if groups == 1 else groups * 32 * draw(st.integers(1, 5)),
        channels_out=groups * draw(output_counts),
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        groups=groups,
        **strides(draw),
        **dilations(draw),
        same_padding=same,
        pad_value=int(one_padded and same),
        activation=activation,
        output=output,
        output_scale=draw(st.sampled_from([1.0, 0.05, 0.3, 7.0])),
        output_zero_point=draw(st.integers(-128, 127)),
    )
    shape = (draw(st.sampled_from([1, 1, 2, 3])), draw(sizes), draw(sizes))
    taps = kernel_h * kernel_w * params.channels_in // groups
    assume(
        shape[0] * shape[1] * shape[2] * taps * params.channels_out / (params.stride_h * params.stride_w)
        <= MULTIPLY_ADDS
    )
    height, _ = reference.pad_axis(shape[1], kernel_h, params.stride_h, params.dilation_h, same)
    width, _ = reference.pad_axis(shape[2], kernel_w, params.stride_w, params.dilation_w, same)
    assume(height > 0 and width > 0)
    return params, shape


def draw_constants(params: BconvParams, generator: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Multipliers and biases of all sizes, some zero; or thresholds in the middle of the counts, at their ends and beyond."""
    channels = params.channels_out
    if params.output == "packed":
        taps = params.kernel_h * params.kernel_w * params.channels_in // params.groups
        ends = generator.choice(
            [INT_MIN, INT_MIN + 1, -1, 0, taps - 1, taps, taps + 1, INT_MAX - 1, INT_MAX], channels
        )
        near = np.rint(generator.normal(taps / 2, taps**0.5 / 2 + 0.5, channels))
        return {"thresholds": np.where(generator.random(channels) < 0.25, ends, near).astype(np.int32)}
    limit = 4 if params.output == "int8" else 20

    def values() -> NDArray[np.float32]:
        drawn = generator.choice([-1, 1], channels) * 2 ** generator.uniform(-limit, limit, channels)
        return np.where(generator.random(channels) < 0.1, 0, drawn).astype(np.float32)

    return {"multiplier": values(), "bias": values()}


def draw_arrays(
    params: BconvParams, shape: tuple[int, int, int], seed: int
) -> tuple[library.Words, library.Words, dict[str, NDArray[Any]]]:
    generator = np.random.default_rng(seed)
    # From nearly all +1 to nearly all -1, so that sums meet their limits.
    bits = generator.random((*shape, params.channels_in)) < generator.choice([0.02, 0.5, 0.5, 0.98])
    filters = generator.random(
        (params.channels_out, params.kernel_h, params.kernel_w, params.channels_in // params.groups)
    ) < generator.choice([0.02, 0.5, 0.5, 0.98])
    return reference.pack(bits), reference.pack(filters), draw_constants(params, generator)


def bits_of(array: NDArray[Any]) -> NDArray[Any]:
    """Floats by their bits, all NaNs alike: -0.0 is not 0.0."""
    if array.dtype != np.float32:
        return array
    return np.where(np.isnan(array), np.float32(np.nan), array).view(np.uint32)


def expect(
    params: BconvParams, words: library.Words, filters: library.Words, constants: dict[str, NDArray[Any]]
) -> NDArray[Any]:
    if params.output == "packed":
        return reference.bconv(params, words, filters, constants["thresholds"])
    return reference.bconv(params, words, filters, (constants["multiplier"], constants["bias"]))


def check(params: BconvParams, shape: tuple[int, int, int], seed: int, threads: int) -> None:
    words, filters, constants = draw_arrays(params, shape, seed)
    expected = bits_of(expect(params, words, filters, constants))
    for level in library.levels():
        result = Bconv(params, filters, level=level, **constants)(words, POOLS[threads])
        np.testing.assert_array_equal(bits_of(result), expected, err_msg=f"{level}: {params}")


@given(convolutions(), st.integers(0, 2**32 - 1), st.data())
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
def test_bits_behind_the_last_channel_are_refused_at_every_level(
    case: tuple[BconvParams, tuple[int, int, int]], seed: int, data: st.DataObject
) -> None:
    """Levels would count them or not. In a filter and in an input, in any pixel and of any such bit."""
    params, shape = case
    used = params.channels_in % 32
    assume(used)
    words, filters, constants = draw_arrays(params, shape, seed)
    bit = np.uint32(1 << data.draw(st.integers(used, 31)))
    more_words, more_filters = words.copy(), filters.copy()
    for more in (more_words, more_filters):
        rows = more.reshape(-1, more.shape[-1])
        rows[data.draw(st.integers(0, len(rows) - 1)), -1] |= bit
    for level in library.levels():
        with pytest.raises(UsageError, match="its filter has bits behind its last channel"):
            Bconv(params, more_filters, level=level, **constants)
        conv = Bconv(params, filters, level=level, **constants)
        with pytest.raises(UsageError, match="its input has bits behind its last channel"):
            conv(more_words)
        conv(words)


CASES = {
    "64": BconvParams(64, 64, 3, 3, same_padding=True),
    "128": BconvParams(128, 32, 3, 3, same_padding=True, pad_value=1, output="packed"),
    "256 packed": BconvParams(256, 16, 3, 3, same_padding=True, pad_value=1, output="packed"),
    "16": BconvParams(16, 16, 3, 3, same_padding=True),
    "groups of 3 outputs": BconvParams(
        64, 6, 3, 3, groups=2, same_padding=True, pad_value=1, output="packed"
    ),
    "groups of 48 outputs": BconvParams(
        64, 96, 3, 3, groups=2, same_padding=True, pad_value=1, output="packed"
    ),
    "groups": BconvParams(96, 48, 3, 3, groups=3, same_padding=True),
    "int8": BconvParams(
        65, 33, 3, 3, same_padding=True, pad_value=1, output="int8", output_scale=0.3, output_zero_point=-7
    ),
    "dense": BconvParams(520, 65, 1, 1, activation="relu"),
    "stride": BconvParams(64, 17, 3, 3, stride_h=2, stride_w=2, same_padding=True),
    "larger filter than input": BconvParams(7, 5, 5, 5, dilation_h=3, dilation_w=3, same_padding=True),
}


@pytest.mark.parametrize("threads", sorted(POOLS))
@pytest.mark.parametrize("name", CASES)
def test_chosen(name: str, threads: int) -> None:
    check(CASES[name], (2, 8, 15) if "dense" not in name else (3, 1, 1), 1, threads)


@pytest.mark.parametrize("threads", sorted(POOLS))
@pytest.mark.parametrize("output", ["float", "packed", "int8"])
def test_dense_layers_whose_channels_or_images_threads_share(output: Output, threads: int) -> None:
    for inputs, channels, batches in (
        (4096, 1100, (1, 2, 3, 5)),
        (100, 129, (1, 15, 16, 17, 40)),
        (33, 7, (6, 0)),
    ):
        params = BconvParams(inputs, channels, 1, 1, output=output)
        for batch in batches:
            check(params, (batch, 1, 1), batch, threads)


@pytest.mark.parametrize("output", ["float", "packed", "int8"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_dense_layers_stay_inside_their_workspace(output: Output, stride: int) -> None:
    """A stride says nothing about an image of one pixel, and changes nothing of what a batch of them takes."""
    inputs, channels, batch, guard = 1888, 128, 16, 1 << 16
    params = BconvParams(inputs, channels, 1, 1, stride_h=stride, stride_w=stride, output=output)
    words = np.zeros((batch, 1, 1, inputs // 32), np.uint32)
    filters = np.zeros((channels, 1, 1, inputs // 32), np.uint32)
    ones, thresholds = np.ones(channels, np.float32), np.zeros(channels, np.int32)
    for level in library.levels():
        convolution = Bconv(params, filters, multiplier=ones, bias=ones, thresholds=thresholds, level=level)
        convolution.resize(1, 1)
        found = np.empty(4 * batch * channels, np.uint8)
        size = library.function("bconv_workspace_bytes")(convolution.handle, 1)
        memory = np.full(size + library.ALIGNMENT + guard, 0xA5, np.uint8)
        begin = -memory.ctypes.data % library.ALIGNMENT
        library.call(
            *("bconv_run", convolution.handle, words.ctypes.data, batch, found.ctypes.data),
            *(POOLS[1].handle, memory.ctypes.data + begin),
        )
        assert (memory[begin + size :] == 0xA5).all(), level


@settings(
    max_examples=2 * settings().max_examples,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(convolutions(), st.integers(0, 2**32 - 1), st.sampled_from(sorted(POOLS)))
def test_drawn(case: tuple[BconvParams, tuple[int, int, int]], seed: int, threads: int) -> None:
    check(*case, seed, threads)


@pytest.mark.parametrize(
    ("channels", "outputs"),
    [
        *((channels, 16) for channels in (*range(1, 34), 64, 96, 128, 256, 288, 512)),
        *((channels, outputs) for channels in (9, 64) for outputs in (32, 64, 112, 117)),
    ],
)
@pytest.mark.parametrize("output", OUTPUTS)
def test_every_width_of_a_tile(output: Output, channels: int, outputs: int) -> None:
    """Rows of 1 to 36 pixels: every remainder of every tile, in the middle and at both borders of the image."""
    params = BconvParams(
        channels, outputs, 3, 3, same_padding=True, pad_value=int(output != "float"), output=output
    )
    words, filters, constants = draw_arrays(params, (1, 3, 36), channels)
    convolutions_ = {
        level: Bconv(params, filters, level=level, **constants)
        for level in library.levels()
        if level != "scalar"
    }
    scalar = Bconv(params, filters, level="scalar", **constants)
    for width in range(1, 37):
        part = words[:, :, :width].copy()
        expected = bits_of(scalar(part))
        for level, convolution in convolutions_.items():
            np.testing.assert_array_equal(
                bits_of(convolution(part)), expected, err_msg=f"{level}: width {width}"
            )


@pytest.mark.parametrize(
    "change", [{}, {"stride_h": 2, "stride_w": 2}, {"dilation_w": 2}, {"groups": 2}], ids=str
)
@pytest.mark.parametrize("width", [64, 65, 129])
def test_rows_of_several_strips(width: int, change: dict[str, Any]) -> None:
    params = replace(BconvParams(128, 128, 3, 3, same_padding=True), **change)
    words, filters, constants = draw_arrays(params, (1, 5, width), width)
    expected = bits_of(Bconv(params, filters, level="scalar", **constants)(words))
    for level in library.levels():
        result = Bconv(params, filters, level=level, **constants)(words)
        np.testing.assert_array_equal(bits_of(result), expected, err_msg=level)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize(
    "channels", [*range(240, 290), 510, 512, 600, 7281, 7282, 65535, 65536, 130880, 140001]
)
def test_no_sum_overflows(channels: int, kernel: int) -> None:
    """All taps differ: p is their number, wherever the kernels keep it on the way."""
    params = BconvParams(channels, 128, kernel, kernel)
    filters = reference.pack(np.ones((128, kernel, kernel, channels), bool))
    ones = np.ones(128, np.float32)
    for level in library.levels():
        convolution = Bconv(params, filters, multiplier=ones, bias=0 * ones, level=level)
        result = convolution(np.zeros((1, kernel + 1, kernel + 1, library.words_for(channels)), np.uint32))
        np.testing.assert_array_equal(result, np.float32(-channels * kernel**2), err_msg=level)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("exponent", [-126, -60, 100, 121, 127])
def test_multipliers_at_the_ends_of_float32(exponent: int, activation: Activation) -> None:
    """Infinities and NaNs of overflowing sums are those of NumPy; twice the multiplier must not be formed where that overflows."""
    params = BconvParams(70, 20, 3, 3, activation=activation)
    words, filters, constants = draw_arrays(params, (1, 5, 9), 3)
    generator = np.random.default_rng(4)
    constants["multiplier"] = (generator.choice([-1, 1], 20) * 1.5 * 2.0**exponent).astype(np.float32)
    expected = bits_of(expect(params, words, filters, constants))
    for level in library.levels():
        result = Bconv(params, filters, level=level, **constants)(words)
        np.testing.assert_array_equal(bits_of(result), expected, err_msg=level)


@pytest.mark.parametrize("level", ["scalar", "fastest"])
def test_one_convolution_for_many_sizes_and_threads(level: str) -> None:
    """Prepared weights serve any size, in any order, and several calls at a time."""
    params = CASES["64"]
    _, filters, constants = draw_arrays(params, (1, 1, 1), 5)
    convolution = Bconv(
        params, filters, level=library.levels()[-1] if level == "fastest" else level, **constants
    )
    for shape in [(1, 9, 9), (3, 2, 17), (1, 1, 1), (0, 4, 4), (1, 9, 9)]:
        words, _, _ = draw_arrays(params, shape, sum(shape))
        np.testing.assert_array_equal(
            bits_of(convolution(words)), bits_of(expect(params, words, filters, constants))
        )

    words, _, _ = draw_arrays(params, (3, 40, 40), 6)  # so large that threads take several parts of it
    np.testing.assert_array_equal(bits_of(convolution(words, POOLS[3])), bits_of(convolution(words)))

    inputs = [draw_arrays(params, (2, 9, 9), seed)[0] for seed in range(8)]
    expected = [expect(params, words, filters, constants) for words in inputs]

    def work(index: int) -> list[NDArray[Any]]:
        pool = library.Pool(1 + index % 2)
        return [convolution(inputs[index], pool) for _ in range(20)]

    with ThreadPoolExecutor(8) as executor:
        for results, right in zip(executor.map(work, range(8)), expected, strict=True):
            assert all(np.array_equal(bits_of(result), bits_of(right)) for result in results)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"channels_in": 40, "groups": 2}, "no multiple of 32"),
        ({"groups": 3}, "do not divide"),
        ({"groups": 0}, "out of range"),
        ({"kernel_h": 0}, "out of range"),
        ({"stride_w": -1}, "out of range"),
        ({"dilation_h": 1 << 30}, "out of range"),
        ({"dilation_h": 1 << 24}, "dilated filter is too large"),
        ({"same_padding": True, "pad_value": 2}, "pad value"),
        ({"same_padding": True, "output": "packed"}, "zero padding needs float output"),
        ({"same_padding": True, "activation": "relu"}, "zero padding excludes an activation"),
        ({"output": "packed"}, "thresholds are missing"),
        ({"output": "int8", "output_scale": 0.0}, "scale is not positive"),
        ({"output": "int8", "output_scale": float("nan")}, "scale is not positive"),
    ],
)
def test_refused_parameters(change: dict[str, Any], reason: str) -> None:
    params = replace(BconvParams(64, 6, 3, 3), **change)
    filters = np.zeros(
        (6, params.kernel_h, 3, -(-params.channels_in // max(params.groups, 1) // 32)), np.uint32
    )
    ones = np.ones(6, np.float32)
    with pytest.raises(UsageError, match=reason):
        Bconv(params, filters, multiplier=ones, bias=ones)


def test_refused_sizes() -> None:
    params = BconvParams(64, 6, 3, 3)
    ones = np.ones(6, np.float32)
    convolution = Bconv(params, np.zeros((6, 3, 3, 2), np.uint32), multiplier=ones, bias=ones)
    with pytest.raises(UsageError, match="smaller than its filter"):
        convolution.resize(2, 3)
    with pytest.raises(UsageError, match="out of range"):
        convolution.resize(-1, 3)
    with pytest.raises(UsageError, match="too large"):
        convolution.resize(1 << 20, 1 << 20)
    with pytest.raises(UsageError, match=r"input is uint32 \[1, 4, 4, 3\], not uint32 \[\*, \*, \*, 2\]"):
        convolution(np.zeros((1, 4, 4, 3), np.uint32))
    with pytest.raises(UsageError, match="multiplier is float64"):
        Bconv(params, np.zeros((6, 3, 3, 2), np.uint32), multiplier=np.ones(6), bias=ones)  # type: ignore[arg-type]
