from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Add, Affine, Clamp, GlobalAvgPool, Input, Mul, Reshape, Sign, Slice
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds
from fdabnn_deploy.transforms.simplify import simplify


@pytest.mark.parametrize(
    ("low", "high", "applied"), [(-1.0, 1.0, 1), (-0.5, 0.0, 1), (0.0, 1.0, 0), (-2.0, -1.0, 0)]
)
def test_clamp_before_a_sign(low: float, high: float, applied: int) -> None:
    b = Build(3, 2, 2)
    check(simplify, b.graph(b(Sign(), b(Clamp(low, high), "x"))), applied=applied)


def test_signs_of_signs_and_equal_signs_merge() -> None:
    b = Build(3, 2, 2)
    first, second = b(Sign(), "x"), b(Sign(), "x")
    outcome = check(simplify, b.graph(b(Add(), b(Sign(), first), second)), applied=2)
    assert kinds(outcome.graph) == ["Input", "Sign", "Add"]


@pytest.mark.parametrize(("returned", "applied", "signs"), [(True, 1, 3), (False, 2, 2)])
def test_equal_operators_merge_unless_the_graph_returns_them(
    returned: bool, applied: int, signs: int
) -> None:
    b = Build(3, 2, 2)
    negations = [b(Affine(-np.ones(3), np.zeros(3)), "x") for _ in range(2)]
    other = b(Affine(-np.ones(3), np.ones(3)), "x")
    first, second, third = (b(Sign(), name) for name in (*negations, other))
    product = b(Mul(), first, b(Add(), second, third))
    outcome = check(simplify, b.graph(product, *([second] if returned else [])), applied=applied)
    assert kinds(outcome.graph).count("Affine") == 2
    assert kinds(outcome.graph).count("Sign") == signs


def test_reshapes_and_global_pool() -> None:
    b = Build(3, 2, 2)
    pooled = b(GlobalAvgPool(keepdims=True), "x")
    twice = b(Reshape((3,)), b(Reshape((1, 3)), b(Reshape((3, 1, 1)), pooled)))
    assert kinds(check(simplify, b.graph(twice), applied=3).graph) == ["Input", "GlobalAvgPool"]


steps = st.integers(1, 3)


@given(st.integers(1, 12), st.data())
def test_slices_compose(size: int, data: st.DataObject) -> None:
    def draw(length: int) -> tuple[int, int, int]:
        begin = data.draw(st.integers(0, length - 1))
        return (begin, data.draw(st.integers(begin + 1, length)), data.draw(steps))

    first = draw(size)
    second = draw(len(range(*first)))
    graph = Graph(
        [Node("x", Input((size,))), Node("a", Slice((first,)), ("x",)), Node("b", Slice((second,)), ("a",))],
        ["b"],
    )
    outcome = simplify(graph)
    assert outcome.applied == 1
    x = np.arange(size, dtype=np.float32)[None]
    np.testing.assert_array_equal(evaluate(graph, [x])[0], evaluate(outcome.graph, [x])[0])
