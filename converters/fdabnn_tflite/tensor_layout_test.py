from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Add, BinaryConv2d, Conv2d, Input, MaxPool2d, Sign
from fdabnn_deploy.ir.ops.conv import conv_size
from fdabnn_tflite.runtime.tensors import Layout
from fdabnn_tflite.tensor_layout import (
    FLAT,
    NHWC,
    PLAIN,
    Form,
    Padding,
    channel_values,
    choose_flipped,
    extra_work,
    flat_order,
    in_order,
    natural_form,
    op_windows,
    pads_before_sign,
    stored_shape,
    windows,
)

OUTSIDE = -1


def torch_windows(size: int, out: int, extent: int, stride: int, padding: int) -> list[list[int]]:
    """The places that PyTorch's windows read along one axis, OUTSIDE for padding."""
    places = [list(range(i * stride - padding, i * stride - padding + extent)) for i in range(out)]
    return [[p if 0 <= p < size else OUTSIDE for p in window] for window in places]


def tensorflow_windows(image: list[int], extent: int, stride: int, padding: Padding) -> list[list[int]]:
    """The values that TensorFlow's windows read along one axis, as its documentation defines VALID and SAME."""
    if padding is Padding.SAME:
        out = -(-len(image) // stride)
        total = max((out - 1) * stride + extent - len(image), 0)
        image = [OUTSIDE] * (total // 2) + image + [OUTSIDE] * (total - total // 2)
    return [image[i : i + extent] for i in range(0, len(image) - extent + 1, stride)]


@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 3),
    flipped=st.booleans(),
)
def test_windows_are_those_of_pytorch(
    size: int, kernel: int, stride: int, padding: int, dilation: int, flipped: bool
) -> None:
    extent = dilation * (kernel - 1) + 1
    out = conv_size(size, kernel, stride, padding, dilation)
    assume(out > 0)
    want = torch_windows(size, out, extent, stride, padding)
    image = list(range(size))
    if flipped:
        image.reverse()
        want = [window[::-1] for window in reversed(want)]
    pair = (size, 1), (out, 1), (kernel, 1), (stride, 1), (padding, 0), (dilation, 1)
    place = windows(*pair, flipped)
    assert place.crop[1] == 0
    assert place.pads[1] == (0, 0)
    image = image[place.crop[0] :]
    assume(image)
    assert place.oversized == (extent > len(image))
    if place.padding is Padding.EXPLICIT:
        before, behind = place.pads[0]
        image = [OUTSIDE] * before + image + [OUTSIDE] * behind
    assert tensorflow_windows(image, extent, stride, place.padding)[:out] == want
    if place.padding is not Padding.VALID:
        assert len(tensorflow_windows(image, extent, stride, place.padding)) == out


@pytest.mark.parametrize("size", [7, 8])
def test_mirrored_images_make_stride_2_the_same(size: int) -> None:
    out = conv_size(size, 3, 2, 1, 1)
    pair = (size, size), (out, out), (3, 3), (2, 2), (1, 1), (1, 1)
    assert windows(*pair, flipped=True).padding is Padding.SAME
    assert windows(*pair, flipped=False).padding is (Padding.SAME if size % 2 else Padding.EXPLICIT)


def test_a_strided_1x1_window_on_a_mirrored_even_image_starts_one_later() -> None:
    place = windows((8, 8), (4, 4), (1, 1), (2, 2), (0, 0), (1, 1), flipped=True)
    assert place.crop == (1, 1)
    assert place.padding is Padding.VALID


@pytest.mark.parametrize("flipped", [False, True])
def test_flat_order_leads_back(flipped: bool) -> None:
    image = np.random.default_rng(0).standard_normal((3, 4, 5))
    stored = image.transpose(1, 2, 0)
    stored = stored[::-1, ::-1] if flipped else stored
    assert np.array_equal(image.reshape(-1)[flat_order((3, 4, 5), flipped)], stored.reshape(-1))


def test_parameters_follow_the_form() -> None:
    values = np.arange(6.0)
    assert np.array_equal(channel_values(values, (-1, 6, 2, 2), NHWC, flipped=True), values)
    assert channel_values(values, (-1, 6, 2), PLAIN, flipped=False).shape == (6, 1)
    assert np.array_equal(channel_values(values, (-1, 6), FLAT, flipped=True), values)
    form = Form(Layout.FLAT, (2, 1, 3))
    assert channel_values(values, (-1, 6), form, flipped=False).tolist() == [0, 3, 1, 4, 2, 5]
    assert channel_values(values, (-1, 6), form, flipped=True).tolist() == [2, 5, 1, 4, 0, 3]
    assert in_order(np.stack([values, values]), form, flipped=False).tolist() == [[0, 3, 1, 4, 2, 5]] * 2
    scalar = np.array(2.0)
    assert channel_values(scalar, (-1, 6), form, flipped=True) is scalar


def test_stored_shapes() -> None:
    assert stored_shape((-1, 3, 4, 5), NHWC) == (-1, 4, 5, 3)
    assert stored_shape((-1, 7), Form(Layout.PIXEL)) == (-1, 1, 1, 7)
    assert stored_shape((-1, 7), FLAT) == (-1, 7)
    assert natural_form((-1, 3, 4, 5)) == NHWC
    assert natural_form((-1, 3)) == FLAT
    assert natural_form((-1, 3, 4)) == PLAIN


def _binary(channels: int, kernel: int = 3, **options: object) -> BinaryConv2d:
    return BinaryConv2d(np.ones((channels, channels, kernel, kernel), dtype=np.int8), **options)  # type: ignore[arg-type]


def _chain(*strides: int, size: int = 32) -> Graph:
    nodes = [Node("x", Input((16, size, size)))]
    for i, stride in enumerate(strides):
        nodes.append(Node(f"s{i}", Sign(), (nodes[-1].name,)))
        nodes.append(Node(f"c{i}", _binary(16, stride=(stride, stride), padding=(1, 1)), (f"s{i}",)))
    return Graph(nodes, [nodes[-1].name])


def test_a_network_with_downsampling_is_mirrored_and_one_without_is_not() -> None:
    assert choose_flipped(_chain(1, 2, 1, 2))
    assert not choose_flipped(_chain(1, 1))
    assert extra_work(_chain(1, 1), flipped=False) == 0
    assert not choose_flipped(_chain(2, size=31))


def test_extra_work_counts_copies_and_corrections() -> None:
    graph = _chain(2, size=4)
    # Unmirrored: a padded copy of 5x5, and three passes over 2x2 more. Mirrored: input and output reversed.
    assert extra_work(graph, flipped=False) == 16 * 25 + 3 * 16 * 4
    assert extra_work(graph, flipped=True) == 16 * 16 + 16 * 4


def test_a_image_of_which_nothing_would_be_left_is_not_mirrored() -> None:
    conv = Conv2d(np.ones((1, 1, 1, 1), dtype=np.float32), stride=(3, 3), padding=(1, 1))
    nodes = [Node("x", Input((1, 1, 1))), Node("y", conv, ("x",))]
    assert extra_work(Graph(nodes, ["y"]), flipped=True) == math.inf
    assert not choose_flipped(Graph(nodes, ["y"]))


def test_lce_pads_where_it_is_right() -> None:
    def before_sign(size: int, op: BinaryConv2d) -> bool:
        shape = (-1, 4, size, size)
        return pads_before_sign(op, op_windows(op, shape, op.infer(shape), flipped=False))

    assert not before_sign(5, _binary(4, padding=(1, 1)))
    assert not before_sign(5, _binary(4, padding=(1, 1), padding_value=1))
    assert before_sign(5, _binary(4, kernel=5, padding=(1, 1)))
    assert before_sign(5, _binary(4, kernel=5, padding=(1, 1), padding_value=1))
    assert before_sign(2, _binary(4, padding=(1, 1)))
    assert not before_sign(2, _binary(4, padding=(1, 1), padding_value=1))
    assert not before_sign(2, _binary(4, kernel=1))


def test_pools_and_sums_are_counted_too() -> None:
    nodes = [
        Node("x", Input((4, 8, 8))),
        Node("p", MaxPool2d((3, 3), (2, 2), (1, 1)), ("x",)),
        Node("y", Add(), ("p", "p")),
    ]
    assert extra_work(Graph(nodes, ["y"]), flipped=False) == 4 * 81
