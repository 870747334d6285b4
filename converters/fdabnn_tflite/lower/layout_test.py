"""Operators that move values, in rows as networks have them; each alone is in `conformance_test.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Add, Affine, Concat, Input, Pad, Permute, Relu, Reshape, Slice
from fdabnn_tflite.lower.chain_testing import chain

pytestmark = pytest.mark.runtimes

SCALE = Affine(np.arange(1.0, 7.0), np.arange(6.0) / 2)


GRAPHS: dict[str, Graph] = {
    "shortcut_without_weights": chain(
        (6, 8, 6), SCALE, Slice(((0, 6, 1), (0, 8, 2), (0, 6, 2))), Pad(((3, 3), (0, 0), (0, 0)))
    ),
    "slice_of_odd_size": chain((6, 7, 5), SCALE, Slice(((1, 6, 2), (0, 7, 2), (1, 4, 2)))),
    "uneven_padding": chain((6, 3, 4), SCALE, Pad(((0, 0), (2, 1), (0, 3)), -1.5)),
    "flatten_and_back": chain((6, 3, 4), SCALE, Reshape((72,)), Relu(), Reshape((6, 3, 4))),
    "flatten_to_another_image": chain((6, 3, 4), SCALE, Reshape((72,)), Reshape((3, 6, 4))),
    "one_pixel": chain((6, 1, 1), SCALE, Reshape((6,)), Reshape((6, 1, 1)), SCALE),
    "shuffled_channels": chain(
        (6, 3, 4), SCALE, Reshape((2, 3, 3, 4)), Permute((2, 1, 3, 4)), Reshape((6, 3, 4)), SCALE
    ),
    "rows": chain((6, 3, 4), SCALE, Reshape((6, 12)), SCALE, Permute((2, 1)), Reshape((72,))),
    "turned": chain((6, 3, 4), SCALE, Permute((3, 1, 2)), Permute((2, 3, 1)), SCALE),
    "same_shape": chain((6, 3, 4), SCALE, Reshape((6, 3, 4))),
    "part_of_a_flattened_image": chain((6, 3, 4), SCALE, Reshape((72,)), Slice(((5, 60, 3),)), Pad(((1, 2),))),
    "joined": Graph(
        [
            Node("x", Input((6, 3, 4))),
            Node("a", SCALE, ("x",)),
            Node("f", Reshape((72,)), ("a",)),
            Node("ff", Concat(), ("f", "f")),
            Node("c", Concat(), ("x", "a", "x")),
            Node("d", Slice(((4, 10, 1), (0, 3, 1), (0, 4, 1))), ("c",)),
            Node("e", Concat(), ("d",)),
            Node("s", Add(), ("d", "e")),
        ],
        ["ff", "s"],
    ),
}  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["as it is", "mirrored"])
def result(request: pytest.FixtureRequest, on_lce: Callable[..., Any]) -> Any:
    return on_lce(GRAPHS, request.param)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_tensor_is_equal(result: Any, name: str) -> None:
    for output, value in zip(GRAPHS[name].outputs, result.outputs[name], strict=True):
        assert np.array_equal(value, result.reference[name][output])
    assert result.tensors[name]
    for tensor, value in result.tensors[name].items():
        assert np.array_equal(value, result.reference[name][tensor]), tensor
