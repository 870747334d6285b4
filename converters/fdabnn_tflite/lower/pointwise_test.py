"""Pointwise operators on flattened and binary dense tensors; each on images and vectors is in `conformance_test.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    BinaryLinear,
    Clamp,
    Input,
    Maximum,
    Mul,
    Op,
    PRelu,
    Relu,
    Reshape,
    Sign,
    Softmax,
    Sub,
)
from fdabnn_tflite.lower.chain_testing import chain

pytestmark = pytest.mark.runtimes

RNG = np.random.default_rng(3)
SLOPES = RNG.standard_normal(24, dtype=np.float32)


def flattened(*ops: Op) -> Graph:
    """x [4, 3, 2] -> flat [24] -> ops in a row."""
    return chain((4, 3, 2), Reshape((24,)), *ops)


def two(op: Op, *prepare: Op) -> Graph:
    """A flattened image and a vector, met by an operator of two inputs."""
    return Graph(
        [
            Node("x", Input((4, 3, 2))),
            Node("z", Input((24,))),
            Node("flat", Reshape((24,)), ("x",)),
            Node("act", Relu(), ("flat",)),
            Node("mixed", op, ("act", "z")),
            Node("alike", op, ("act", "flat")),
            Node("y", Add(), ("mixed", "alike")),
        ],
        ["y"],
    )


GRAPHS: dict[str, Graph] = {
    "affine": flattened(Affine(RNG.standard_normal(24), RNG.standard_normal(24))),
    "slopes": flattened(PRelu(SLOPES)),
    "one_slope": flattened(PRelu(np.array(-0.75, dtype=np.float32))),
    "equal_slopes": flattened(PRelu(np.full(24, 3.0, dtype=np.float32))),
    "limits": flattened(Clamp(-0.5, 1.25), Clamp(-np.inf, 1.0), Clamp(-0.25, np.inf)),
    "add": two(Add()),
    "sub": two(Sub()),
    "mul": two(Mul()),
    "maximum": two(Maximum()),
    "dense_then_slopes": Graph(
        [
            Node("x", Input((20,))),
            Node("s", Sign(), ("x",)),
            Node("d", BinaryLinear(np.where(RNG.random((24, 20)) < 0.5, -1, 1).astype(np.int8)), ("s",)),
            Node("p", PRelu(SLOPES), ("d",)),
            Node("y", Add(), ("p", "d")),
        ],
        ["y"],
    ),
}


@pytest.fixture(scope="module", params=[False, True], ids=["as it is", "mirrored"])
def result(request: pytest.FixtureRequest, on_lce: Callable[..., Any]) -> Any:
    return on_lce({**GRAPHS, "softmax": flattened(Softmax())}, request.param)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_tensor_is_equal(result: Any, name: str) -> None:
    (output,) = GRAPHS[name].outputs
    assert np.array_equal(result.outputs[name][0], result.reference[name][output])
    assert len(result.tensors[name]) >= 2
    for tensor, value in result.tensors[name].items():
        assert np.array_equal(value, result.reference[name][tensor]), tensor


def test_softmax_is_over_the_graphs_order(result: Any) -> None:
    assert np.allclose(result.outputs["softmax"][0], result.reference["softmax"]["y1"], rtol=0, atol=1e-6)


def test_a_prelu_is_one_operator(result: Any) -> None:
    kinds = result.file.op_counts()
    assert kinds["PRELU"] == 2
    assert kinds["LEAKY_RELU"] == 2
    assert "NEG" not in kinds
