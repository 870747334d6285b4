"""Floating point layers on LCE together with what the converter merges into them; each alone is in `conformance_test.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Affine, Conv2d, Linear, Relu, Reshape
from fdabnn_tflite.lower.chain_testing import chain

pytestmark = pytest.mark.runtimes

RNG = np.random.default_rng(1)


def floats(*shape: int) -> Any:
    return RNG.standard_normal(shape, dtype=np.float32)


GRAPHS: dict[str, Graph] = {
    "stem": chain(
        (3, 11, 12),
        Conv2d(floats(8, 3, 7, 7), floats(8), (2, 2), (3, 3)),
        Affine(RNG.standard_normal(8), RNG.standard_normal(8)),
        Relu(),
    ),
    "grouped": chain((6, 7, 8), Conv2d(floats(9, 2, 3, 3), floats(9), (2, 1), (1, 1), (1, 2), groups=3)),
    "depthwise": chain((4, 8, 8), Conv2d(floats(8, 1, 3, 3), None, (2, 2), (1, 1), groups=4)),
    "depthwise_uneven_strides": chain((4, 8, 8), Conv2d(floats(4, 1, 3, 3), None, (2, 1), (1, 1), groups=4)),
    "downsample": chain((5, 8, 6), Conv2d(floats(7, 5, 1, 1), None, (2, 2))),
    "classifier": chain((4, 3, 2), Relu(), Reshape((24,)), Linear(floats(5, 24), floats(5)), Relu()),
    "two_dense": chain((4, 3, 2), Reshape((24,)), Linear(floats(6, 24)), Linear(floats(5, 6), floats(5))),
}


@pytest.fixture(scope="module", params=[False, True], ids=["as it is", "mirrored"])
def result(request: pytest.FixtureRequest, on_lce: Callable[..., Any]) -> Any:
    return on_lce(GRAPHS, request.param)


@pytest.mark.parametrize("name", GRAPHS)
def test_float_layers(result: Any, name: str) -> None:
    """Values of about 10 and sums of at most 150 products: 1e-4 is some hundred units in the last place, a wrong tap is 1."""
    (output,) = GRAPHS[name].outputs
    assert np.allclose(result.outputs[name][0], result.reference[name][output], rtol=0, atol=1e-4)
    for tensor, value in result.tensors[name].items():
        assert np.allclose(value, result.reference[name][tensor], rtol=0, atol=1e-4), tensor


def test_bias_and_norm_become_part_of_the_layer_and_nothing_is_transposed(result: Any) -> None:
    kinds = result.file.op_counts()
    assert kinds["CONV_2D"] + kinds["DEPTHWISE_CONV_2D"] == 5
    assert kinds["FULLY_CONNECTED"] == 3
    assert "TRANSPOSE" not in kinds
    # A scale in front of a layer, or behind it, would round its weights anew: only LCE's converter does that.
    left = {"ADD", "MUL"} & set(kinds)
    assert left == ({"ADD", "MUL"} if result.writer == "own writer" else set())
