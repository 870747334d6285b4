from __future__ import annotations

import numpy as np
import pytest

from bench import operators
from bench.layers import BenchLayer, Problem
from bench.peers import tflite
from fdabnn_tflite.runtime.tflite_file import parse_tflite

pytestmark = pytest.mark.runtimes

LAYER = BenchLayer(6, 8)


@pytest.fixture
def conv_file() -> bytes:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")
    problem = Problem(LAYER)
    scaled = problem.filters * problem.multiplier[:, None, None, None]
    return tflite.conv_file(problem, problem.signs, scaled, problem.bias, problem.expected_float)


def test_kinds_show_shapes_and_filters(conv_file: bytes) -> None:
    assert operators.kinds(parse_tflite(conv_file)) == {"CONV_2D 1x6x6x8 by 8x3x3x8 -> 1x6x6x8": [0]}


def test_an_operator_alone_computes_the_same(conv_file: bytes) -> None:
    alone = operators.one_operator_file(conv_file, 0)
    file = parse_tflite(alone)
    assert [operator.name for operator in file.operators] == ["CONV_2D"]
    assert (file.inputs, file.outputs) == ((0,), (3,))
    problem = Problem(LAYER)
    session = tflite.Session(alone, problem.signs)
    session.run()
    assert np.array_equal(session.output(), problem.expected_float)


def test_profiles_are_summed_by_type_per_run() -> None:
    events = [
        {"cat": "Node", "name": "a_kernel_time", "dur": 10, "args": {"op_name": "Add"}},
        {"cat": "Node", "name": "b_kernel_time", "dur": 30, "args": {"op_name": "Conv"}},
        {"cat": "Node", "name": "a_kernel_time", "dur": 20, "args": {"op_name": "Add"}},
        {"cat": "Node", "name": "a_fence_before", "dur": 99, "args": {"op_name": "Add"}},
        {"cat": "Session", "name": "model_run", "dur": 99, "args": {}},
    ]
    assert list(operators.operator_sums(events, runs=2).items()) == [("Add", 15), ("Conv", 15)]
