"""Binary layers and the packing of planes at every level against NumPy, bit by bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.native import library
from fdabnn_deploy.native.binary_layer import BinaryLayer, BinaryLayerParams, Finish, Floats, pack_planes
from fdabnn_deploy.native.kernels.windows_testing import strides
from fdabnn_deploy.native.layer_reference import binary_layer
from fdabnn_deploy.native.reference import pack

POOLS = {threads: library.Pool(threads) for threads in (1, 2, 3)}
MULTIPLY_ADDS = 400_000  # of one example: NumPy is slow

# Words of 32 channels and their ends; images with fewer and more pixels than a tile of 16 has.
channel_counts = st.one_of(
    st.integers(1, 40), st.sampled_from([63, 64, 65, 96, 128, 160, 257]), st.integers(1, 520)
)
output_counts = st.one_of(st.integers(1, 34), st.sampled_from([47, 48, 63, 64, 65, 96, 128]))
sizes = st.integers(1, 19)


@st.composite
def layers(draw: st.DrawFn) -> tuple[BinaryLayerParams, tuple[int, int, int]]:
    """Parameters and the input's batch, height and width."""
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    kernel_h, kernel_w = draw(
        st.one_of(st.sampled_from([(1, 1), (3, 3), (3, 3)]), st.tuples(st.integers(1, 5), st.integers(1, 5)))
    )
    dilation_h, dilation_w = draw(st.sampled_from([1, 1, 2])), draw(st.sampled_from([1, 1, 2]))
    reach_h, reach_w = (kernel_h - 1) * dilation_h, (kernel_w - 1) * dilation_w
    params = BinaryLayerParams(
        channels_in=draw(channel_counts) if groups == 1 else groups * 32 * draw(st.integers(1, 4)),
        channels_out=groups * draw(output_counts),
        groups=groups,
        kernel_h=kernel_h,
        kernel_w=kernel_w,
        **strides(draw),
        dilation_h=dilation_h,
        dilation_w=dilation_w,
        pad_top=draw(st.integers(0, reach_h)),
        pad_left=draw(st.integers(0, reach_w)),
        pad_bottom=draw(st.integers(0, reach_h)),
        pad_right=draw(st.integers(0, reach_w)),
        pad_value=draw(st.integers(0, 1)),
        planes=draw(st.booleans()),
    )
    batch, height, width = draw(st.sampled_from([1, 1, 2])), draw(sizes), draw(sizes)
    assume(height + params.pad_top + params.pad_bottom > reach_h)
    assume(width + params.pad_left + params.pad_right > reach_w)
    taps = kernel_h * kernel_w * params.channels_in // groups
    assume(
        batch * height * width * taps * params.channels_out / (params.stride_h * params.stride_w)
        <= MULTIPLY_ADDS
    )
    return params, (batch, height, width)


def bits_of(array: Floats) -> Any:
    """Floats by their bits, all NaNs alike: -0.0 is not 0.0."""
    return np.where(np.isnan(array), np.float32(np.nan), array).view(np.uint32)


def check(
    params: BinaryLayerParams, shape: tuple[int, int, int], has: tuple[bool, ...], seed: int, threads: int
) -> None:
    """Every level gives what NumPy gives; `has`: slope, scale, offset and residual."""
    generator = np.random.default_rng(seed)
    words = pack(generator.random((*shape, params.channels_in)) < 0.5)
    depth = params.channels_in // params.groups
    filters = pack(generator.random((params.channels_out, params.kernel_h, params.kernel_w, depth)) < 0.5)

    def constants(present: bool) -> Floats | None:
        drawn = generator.choice([-1, 1], params.channels_out) * 2 ** generator.uniform(
            -20, 20, params.channels_out
        )
        kept = np.where(generator.random(params.channels_out) < 0.1, 0, drawn).astype(np.float32)
        return kept if present else None

    finish = Finish(*(constants(present) for present in has[:3]))
    values, _ = binary_layer(params, words, filters, finish)
    residual = generator.normal(0, 30, values.shape).astype(np.float32) if has[3] else None
    expected, signs = binary_layer(params, words, filters, finish, residual)
    for level in library.levels():
        found, found_signs = BinaryLayer(params, filters, finish, level=level)(
            words, residual, POOLS[threads]
        )
        np.testing.assert_array_equal(bits_of(found), bits_of(expected), err_msg=f"{level}: {params}")
        np.testing.assert_array_equal(found_signs, signs, err_msg=f"{level}: {params}")


@settings(
    max_examples=2 * settings().max_examples,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(
    layers(),
    st.tuples(*[st.booleans()] * 4),
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(POOLS)),
)
def test_drawn(
    case: tuple[BinaryLayerParams, tuple[int, int, int]], has: tuple[bool, ...], seed: int, threads: int
) -> None:
    check(*case, has, seed, threads)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 5, 6)])
@pytest.mark.parametrize("channels", [1, 16, 31, 33, 63, 100, 257])
def test_bits_behind_the_last_channel_are_refused_at_every_level(
    channels: int, size: tuple[int, int, int]
) -> None:
    """Levels would count them or not."""
    generator = np.random.default_rng(channels)
    kernel = 1 if size == (1, 1, 1) else 3
    params = BinaryLayerParams(channels, 20, 1, kernel, kernel)
    words = pack(generator.random((*size, channels)) < 0.5)
    filters = pack(generator.random((20, kernel, kernel, channels)) < 0.5)
    for bit in range(channels % 32, 32):
        more_words, more_filters = words.copy(), filters.copy()
        for more in (more_words, more_filters):
            rows = more.reshape(-1, more.shape[-1])
            rows[generator.integers(len(rows)), -1] |= np.uint32(1 << bit)
        for level in library.levels():
            with pytest.raises(UsageError, match="its filter has bits behind its last channel"):
                BinaryLayer(params, more_filters, Finish(), level=level)
            layer = BinaryLayer(params, filters, Finish(), level=level)
            with pytest.raises(UsageError, match="its input has bits behind its last channel"):
                layer(more_words)
            layer(words)


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("channels", [16, 31, 32, 33, 64, 80])
def test_every_number_of_pixels_of_a_tile(channels: int, planes: bool) -> None:
    """An image of one row: 1 to 34 pixels."""
    params = BinaryLayerParams(
        *(channels, channels, 1, 3, 3), pad_top=1, pad_left=1, pad_bottom=1, pad_right=1, planes=planes
    )
    for width in range(1, 35):
        check(params, (1, 1, width), (True, True, True, True), width, 1)


@pytest.mark.parametrize("threads", sorted(POOLS))
@pytest.mark.parametrize("planes", [False, True])
def test_dense_layers_whose_channels_or_images_threads_share(planes: bool, threads: int) -> None:
    for inputs, channels, batches in (
        (4096, 1100, (1, 2, 3, 5)),
        (100, 129, (1, 15, 16, 17, 40)),
        (33, 7, (6, 0)),
    ):
        params = BinaryLayerParams(inputs, channels, planes=planes)
        for batch in batches:
            check(params, (batch, 1, 1), (True, batch % 2 == 0, True, batch % 3 == 0), batch, threads)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_dense_layers_stay_inside_their_workspace(stride: int) -> None:
    """A stride says nothing about an image of one pixel, and changes nothing of what a batch of them takes."""
    inputs, channels, batch, guard = 1888, 128, 16, 1 << 16
    params = BinaryLayerParams(inputs, channels, stride_h=stride, stride_w=stride)
    words = np.zeros((batch, 1, 1, inputs // 32), np.uint32)
    filters = np.zeros((channels, 1, 1, inputs // 32), np.uint32)
    for level in library.levels():
        layer = BinaryLayer(params, filters, level=level)
        values, signs = layer(words)
        size = library.function("layer_workspace_bytes")(layer.handle, 1)
        memory = np.full(size + library.ALIGNMENT + guard, 0xA5, np.uint8)
        begin = -memory.ctypes.data % library.ALIGNMENT
        library.call(
            *("layer_run", layer.handle, words.ctypes.data, None, batch),
            *(values.ctypes.data, signs.ctypes.data, POOLS[1].handle, memory.ctypes.data + begin),
        )
        assert (memory[begin + size :] == 0xA5).all(), level


def test_rows_that_are_finished_in_several_parts() -> None:
    """Counts of more rows than are kept at a time, and rows for three threads."""
    params = BinaryLayerParams(
        *(32, 128, 1, 3, 3), pad_top=1, pad_left=1, pad_bottom=1, pad_right=1, planes=True
    )
    check(params, (2, 21, 23), (True, True, True, True), 0, 3)


@settings(max_examples=100)
@given(
    st.tuples(st.integers(0, 3), st.integers(1, 70), st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 2**32 - 1),
    st.sampled_from(sorted(POOLS)),
)
def test_packed_planes(shape: tuple[int, int, int, int], seed: int, threads: int) -> None:
    generator = np.random.default_rng(seed)
    values = generator.choice(
        np.array([-1.5, -1e-45, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf], np.float32), shape
    )
    expected = pack(values.transpose(0, 2, 3, 1) < 0)
    for level in library.levels():
        np.testing.assert_array_equal(
            pack_planes(values, level=level, pool=POOLS[threads]), expected, err_msg=level
        )


def test_the_residual_may_be_overwritten_by_the_values() -> None:
    """Runtimes that reuse memory give both the same buffer."""
    params = BinaryLayerParams(40, 48, 1, 1, 1)
    generator = np.random.default_rng(0)
    words, filters = (
        pack(generator.random((1, 5, 7, 40)) < 0.5),
        pack(generator.random((48, 1, 1, 40)) < 0.5),
    )
    residual = generator.normal(0, 9, (1, 5, 7, 48)).astype(np.float32)
    expected, _ = binary_layer(params, words, filters, Finish(), residual)
    for level in library.levels():
        memory = residual.copy()
        BinaryLayer(params, filters, level=level)(words, memory, out=memory)
        np.testing.assert_array_equal(bits_of(memory), bits_of(expected), err_msg=level)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"channels_in": 40, "groups": 2}, "no multiple of 32"),
        ({"groups": 5}, "do not divide"),
        ({"kernel_h": 0}, "out of range"),
        ({"pad_top": 3}, "not smaller than its dilated filter"),
        ({"pad_right": -1}, "padding is negative"),
        ({"pad_value": 2}, "pad value"),
    ],
)
def test_refused_parameters(change: dict[str, Any], reason: str) -> None:
    params = replace(BinaryLayerParams(64, 6, 1, 3, 3), **change)
    filters = np.zeros((6, params.kernel_h, 3, -(-params.channels_in // params.groups // 32)), np.uint32)
    with pytest.raises(UsageError, match=reason):
        BinaryLayer(params, filters)


def test_refused_sizes() -> None:
    layer = BinaryLayer(BinaryLayerParams(64, 6, 1, 3, 3), np.zeros((6, 3, 3, 2), np.uint32))
    with pytest.raises(UsageError, match="smaller than its filter"):
        layer(np.zeros((1, 2, 3, 2), np.uint32))
