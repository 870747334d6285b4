"""Binary layers on LCE as networks use them; each alone is in `conformance_test.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    BinaryConv2d,
    BinaryLinear,
    Input,
    MaxPool2d,
    Pad,
    PRelu,
    Relu,
    Reshape,
    Sign,
    Slice,
)
from fdabnn_tflite.lower.binary import is_binary
from fdabnn_tflite.lower.chain_testing import chain
from fdabnn_tflite.saved_model import build_flatbuffer

pytestmark = pytest.mark.runtimes

RNG = np.random.default_rng(0)


def weights(*shape: int) -> Any:
    return np.where(RNG.random(shape) < 0.5, -1, 1).astype(np.int8)


def affine(channels: int, grid: float | None = None) -> Affine:
    scale, offset = RNG.standard_normal(channels), RNG.standard_normal(channels) * 8
    if grid is not None:
        scale, offset = np.round(scale / grid) * grid, np.round(offset / grid) * grid
    return Affine(scale, offset)


def padded(weight: Any, padding: int, stride: int = 1, value: int = 0, dilation: int = 1) -> BinaryConv2d:
    return BinaryConv2d(
        weight, (stride, stride), (padding, padding), (dilation, dilation), padding_value=value
    )


EXACT: dict[str, Graph] = {
    # LCE's own zero padding is wrong where a window is larger than the image.
    **{
        f"window_{kernel}_dilation_{dilation}_on_{size}": chain(
            (6, size, size), Sign(), padded(weights(3, 6, kernel, kernel), dilation * (kernel // 2), 1, 0, dilation)
        )
        for kernel in (3, 5)
        for dilation in (1, 2)
        for size in (1, 2, 3, 4, 5)
    },
    **{
        f"stride_{stride}_pad_{padding}_value_{value}_on_{size}": chain(
            (40, size, size), Sign(), padded(weights(5, 40, 3, 3), padding, stride, value)
        )
        for stride in (2, 3)
        for padding in (0, 1, 2)
        for value in (0, 1)
        for size in (6, 7)
    },
    # Accumulators between layers become thresholds, where nothing may be rounded: ties included.
    **{
        f"packed_{padding}_{value}": chain(
            (33, 6, 6), Sign(), padded(weights(35, 33, 3, 3), padding, 1, value), affine(35, 0.5), Sign(),
            padded(weights(4, 35, 3, 3), 1),
        )
        for padding, value in ((0, 0), (1, 0), (1, 1), (2, 1))
    },
    "pool_between": chain(
        (8, 8, 8), Sign(), padded(weights(40, 8, 3, 3), 1, 1, 1), affine(40, 0.25), MaxPool2d((2, 2), (2, 2)), Sign(),
        padded(weights(4, 40, 3, 3), 1),
    ),
    "overlapping_pool_between": chain(
        (8, 8, 8), Sign(), padded(weights(40, 8, 3, 3), 1), MaxPool2d((3, 3), (2, 2), (1, 1)), Sign(), padded(weights(4, 40, 1, 1), 0),
    ),
    "relu_between": chain((8, 6, 6), Sign(), padded(weights(7, 8, 3, 3), 1, 2), Relu(), Sign(), padded(weights(4, 7, 1, 1), 0)),
    "dense_behind_dense": chain(
        (40,), Sign(), BinaryLinear(weights(33, 40)), affine(33, 0.5), Sign(), BinaryLinear(weights(5, 33)),
    ),
    "dense_of_large_weights": chain(
        (1024,), Sign(), BinaryLinear(weights(300, 1024)), affine(300, 0.5), Sign(), BinaryLinear(weights(5, 300)),
    ),
    "dense_behind_flatten": chain(
        (5, 3, 4), Sign(), padded(weights(7, 5, 3, 3), 1), Reshape((84,)), affine(84, 0.5), Sign(), BinaryLinear(weights(6, 84)),
        PRelu(np.array([0.5, -1, 2, 0, 1, 4], dtype=np.float32)),
    ),
    "signs_moved_about": chain(
        (6, 5, 5), Sign(), Slice(((1, 5, 1), (0, 5, 2), (1, 5, 1))), Pad(((0, 0), (1, 0), (0, 1)), 1.0), padded(weights(4, 4, 2, 2), 1),
    ),
    "signs_flattened": chain((6, 2, 3), Sign(), Reshape((36,)), BinaryLinear(weights(4, 36))),
    "sign_read_as_numbers_too": chain((6, 4, 4), Sign(), padded(weights(6, 6, 3, 3), 1), outputs=("y0", "y1")),
    "one_sign_for_three_layers": Graph(
        [
            Node("x", Input((5, 8, 8))),
            Node("s", Sign(), ("x",)),
            Node("a", padded(weights(4, 5, 3, 3), 1, 2), ("s",)),
            Node("b", padded(weights(4, 5, 1, 1), 0, 2), ("s",)),
            Node("c", padded(weights(4, 5, 5, 5), 2, 2), ("s",)),
            Node("y", Add(), ("a", "b")),
            Node("z", Add(), ("y", "c")),
        ],
        ["z"],
    ),
    "equal_layers": Graph(
        [
            Node("x", Input((5, 4, 4))),
            Node("s", Sign(), ("x",)),
            Node("t", Sign(), ("x",)),
            Node("a", padded(np.ones((4, 5, 3, 3), dtype=np.int8), 1), ("s",)),
            Node("b", padded(np.ones((4, 5, 3, 3), dtype=np.int8), 1), ("t",)),
            Node("y", Add(), ("a", "b")),
        ],
        ["y"],
    ),
}  # fmt: skip

AFFINE: dict[str, Graph] = {
    f"affine_{padding}_{value}_{stride}": chain(
        (37, 6, 6), Sign(), padded(weights(9, 37, 3, 3), padding, stride, value), affine(9)
    )
    for padding, value, stride in ((0, 0, 1), (1, 0, 1), (1, 1, 1), (2, 0, 2), (1, 0, 2))
}


@pytest.fixture(scope="module", params=[False, True], ids=["as it is", "mirrored"])
def result(request: pytest.FixtureRequest, on_lce: Callable[..., Any]) -> Any:
    return on_lce({**EXACT, **AFFINE}, request.param)


@pytest.mark.parametrize("name", EXACT)
def test_integers_are_equal(result: Any, name: str) -> None:
    reference = result.reference[name]
    for output, value in zip(EXACT[name].outputs, result.outputs[name], strict=True):
        assert np.array_equal(value, reference[output])


@pytest.mark.parametrize("name", EXACT)
def test_every_tensor_shown_is_the_graphs(result: Any, name: str) -> None:
    assert result.tensors[name]
    for tensor, value in result.tensors[name].items():
        assert np.array_equal(value, result.reference[name][tensor]), tensor


@pytest.mark.parametrize("name", AFFINE)
def test_scale_and_offset_round_a_few_times(result: Any, name: str) -> None:
    """LCE computes `fl(fl(2p * -m) + fl(b + K m))`, and for zero padding another such product and sum.

    p <= K, so the terms are at most 2K|m| and K|m| + |b|, and the six roundings at most half a unit of their sum each.
    """
    op, conv = AFFINE[name]["y2"].op, AFFINE[name]["y1"].op
    assert isinstance(op, Affine)
    assert isinstance(conv, BinaryConv2d)
    bound = 6 * 2.0**-24 * (3 * conv.taps * np.abs(op.scale) + np.abs(op.offset))
    error = np.abs(result.outputs[name][0].astype(np.float64) - result.reference[name]["y2"])
    assert np.all(error <= bound[:, None, None])


def test_no_layer_is_computed_in_floats_or_twice(result: Any) -> None:
    counts = result.file.op_counts()
    layers = sum(len(graph.nodes_of(BinaryConv2d, BinaryLinear)) for graph in (EXACT | AFFINE).values())
    assert counts["LceBconv2d"] == layers - 1, "one of the two equal layers is left out"
    assert "CONV_2D" not in counts
    assert "FULLY_CONNECTED" not in counts
    assert counts["LceBMaxPool2d"] == 2


def test_layers_hand_packed_signs_on_where_they_pad_no_zeros(result: Any) -> None:
    writers = {
        result.file.tensors[op.outputs[0]].name.split("/")[0]
        for op in result.file.operators
        if op.name == "LceBconv2d" and result.file.tensors[op.outputs[0]].type == 2
    }
    assert {"packed_0_0", "packed_1_1", "packed_2_1", "pool_between", "dense_behind_dense"} <= writers
    assert "packed_1_0" not in writers


def test_values_that_are_no_signs_are_refused() -> None:
    graph = chain((3, 4, 4), Sign(), Pad(((0, 0), (1, 1), (1, 1)), 0.0), padded(weights(2, 3, 3, 3), 0))
    with pytest.raises(ModelRefusedError, match=r"y2.*reads y1.*put a sign"):
        build_flatbuffer(graph, False, 1)


def test_is_binary_sees_through_what_moves_values() -> None:
    graph = chain((3, 4, 4), Sign(), MaxPool2d((2, 2), (2, 2)), Pad(((0, 0), (1, 1), (1, 1)), -1.0), Relu())
    assert [is_binary(graph, node.name) for node in graph] == [False, True, True, True, False]
