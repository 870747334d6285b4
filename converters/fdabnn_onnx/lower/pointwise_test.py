from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Affine, Input, Op, PRelu
from fdabnn_onnx.build_model import build_model

INFO = ModelInfo("t", (2, 4, 4))


def nodes(op: Op, *shape: int) -> tuple[list[tuple[str, str]], dict[str, list[int]]]:
    """(operator, name) of every node, and every parameter's shape."""
    model = build_model(Graph([Node("x", Input(shape)), Node("y", op, ("x",))], ["y"]), INFO, 1)
    return (
        [(node.op_type, node.name) for node in model.graph.node],
        {tensor.name: list(tensor.dims) for tensor in model.graph.initializer},
    )


@pytest.mark.parametrize(
    ("scale", "offset", "expected"),
    [
        ([2.0, 3.0], [1.0, 0.0], [("Mul", "y/scaled"), ("Add", "y")]),
        ([2.0, 1.0], [0.0, 0.0], [("Mul", "y")]),
        ([1.0, 1.0], [1.0, 0.0], [("Add", "y")]),
        ([1.0, 1.0], [0.0, -0.0], [("Identity", "y")]),
        ([1.0 + 1e-12, 1.0], [1e-60, 0.0], [("Identity", "y")]),
    ],
)
def test_halves_of_an_affine_that_do_nothing_are_left_out(
    scale: list[float], offset: list[float], expected: list[tuple[str, str]]
) -> None:
    assert nodes(Affine(np.array(scale), np.array(offset)), 2, 4, 4)[0] == expected


def test_parameters_meet_the_channels_at_any_rank() -> None:
    affine = Affine(np.array([2.0, 3.0]), np.array([1.0, 1.0]))
    assert nodes(affine, 2, 4, 4)[1] == {"y/scale": [2, 1, 1], "y/offset": [2, 1, 1]}
    assert nodes(affine, 2)[1] == {"y/scale": [2], "y/offset": [2]}
    assert nodes(PRelu(np.array([0.1, 0.2], dtype=np.float32)), 2, 4, 4)[1] == {"y/slope": [2, 1, 1]}
    assert nodes(PRelu(np.array(0.1, dtype=np.float32)), 2, 4, 4)[1] == {"y/slope": [1]}
