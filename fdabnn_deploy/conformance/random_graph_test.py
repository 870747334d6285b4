from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from fdabnn_deploy.conformance.hostile import NORM_KINDS, normal_inputs
from fdabnn_deploy.conformance.random_graph import DEPTHS, MOST_CHANNELS, RandomGraph, random_graph
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.reference import evaluate_all
from fdabnn_deploy.transforms.affine.fold_affine import fold_affine
from fdabnn_deploy.transforms.simplify import simplify

ONLY_EXACT = {ops.CentredPixels, ops.GlobalSum, ops.RoundToGrid, ops.Saturate}
"""Come in when a graph is made exact, or takes pixels."""


@pytest.fixture(scope="module")
def drawn() -> list[RandomGraph]:
    return [random_graph(np.random.default_rng(seed)) for seed in range(150)]


def test_every_operator_and_norm_occurs(
    drawn: list[RandomGraph],
) -> None:
    kinds = Counter(kind for r in drawn for kind in {type(node.op) for node in r.graph})
    assert set(kinds) == ops.DEPLOYED - ONLY_EXACT
    assert min(kinds.values()) >= 2
    norms = Counter(kind for r in drawn for kind in r.tags)
    assert set(norms) == set(NORM_KINDS)
    assert min(norms.values()) >= 20


def test_forms_of_operators(drawn: list[RandomGraph]) -> None:
    nodes = [(r.graph, node) for r in drawn for node in r.graph]
    binary = [node.op for _, node in nodes if isinstance(node.op, ops.BinaryConv2d)]
    assert {op.padding_value for op in binary} == {0, 1}
    for op in (binary, [node.op for _, node in nodes if isinstance(node.op, ops.Conv2d)]):
        assert {o.groups > 1 for o in op} == {True, False}
        assert {o.dilation == (1, 1) for o in op} == {True, False}
        assert {o.stride for o in op} > {(1, 1), (2, 2)}
        assert {o.padding for o in op} > {(0, 0), (1, 1), (2, 2)}
    assert {op.op.ceil_mode for _, op in nodes if isinstance(op.op, ops.MaxPool2d)} == {True, False}
    pools = [node.op for _, node in nodes if isinstance(node.op, ops.AvgPool2d)]
    padded = {(op.count_include_pad, any(op.padding)) for op in pools}
    assert padded >= {(True, True), (True, False), (False, False)}
    slopes = [node.op.slope for _, node in nodes if isinstance(node.op, ops.PRelu)]
    assert {slope.ndim for slope in slopes} == {0, 1}
    assert any(np.any(slope < 0) for slope in slopes)
    assert {len(graph.consumers(node.name)) for graph, node in nodes} >= {0, 1, 2, 3}


def test_shape_of_the_networks(drawn: list[RandomGraph]) -> None:
    assert {r.depth for r in drawn} == set(range(DEPTHS[0], DEPTHS[1] + 1))
    assert {len(r.graph.inputs) for r in drawn} == {1, 2}
    assert {len(r.graph.outputs) for r in drawn} >= {1, 2, 3}
    flattened = 0
    for r in drawn:
        for node in r.graph:
            shape = r.graph.shape(node.name)
            assert len(shape) != 4 or shape[1] <= MOST_CHANNELS * 2
            assert np.prod(shape[1:]) <= 20000
            if isinstance(node.op, ops.BinaryConv2d | ops.BinaryLinear):
                source = r.graph[node.inputs[0]]
                if isinstance(source.op, ops.Reshape):
                    assert isinstance(node.op, ops.BinaryLinear)
                    source = r.graph[source.inputs[0]]
                    flattened += 1
                assert isinstance(source.op, ops.Sign)
    assert flattened > 0


def test_networks_are_as_the_passes_leave_them(drawn: list[RandomGraph]) -> None:
    for r in drawn:
        assert fold_affine(r.graph).applied == 0
        assert simplify(r.graph).applied == 0
        needed = set(r.graph.outputs) | set(r.graph.inputs)
        assert all(node.name in needed or r.graph.consumers(node.name) for node in r.graph)


def test_normal_images_give_finite_values(drawn: list[RandomGraph]) -> None:
    rng = np.random.default_rng(0)
    for r in drawn[:60]:
        values = evaluate_all(r.graph, normal_inputs(r.graph, rng, 2))
        assert all(np.isfinite(value).all() for value in values.values())


def test_a_seed_gives_one_network() -> None:
    first, second = (random_graph(np.random.default_rng(11)) for _ in range(2))
    assert str(first.graph) == str(second.graph)
    assert (first.tags, first.depth) == (second.tags, second.depth)
    x = normal_inputs(first.graph, np.random.default_rng(0), 1)
    a, b = (evaluate_all(r.graph, x) for r in (first, second))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert str(random_graph(np.random.default_rng(12)).graph) != str(first.graph)
