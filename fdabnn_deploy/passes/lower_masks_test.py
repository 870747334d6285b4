from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ops import Compare, FloatArray, Logical, LogicalNot, Mul, Op, ToFloat, Where
from fdabnn_deploy.passes.canonical_sign import canonical_sign
from fdabnn_deploy.passes.lower_masks import lower_masks
from fdabnn_deploy.passes.pass_testing import Build, kinds
from fdabnn_deploy.reference import evaluate

X = np.random.default_rng(3).choice([-2, -1, -0.5, -0.0, 0, 0.5, 1, 3], size=(40, 2, 1, 2)).astype(np.float32)


def both(b: Build, output: str) -> tuple[FloatArray, FloatArray, list[str]]:
    """The values as written and as lowered, and the kinds of operators."""
    graph = lower_masks(canonical_sign(b.graph(output)).graph).graph
    assert not graph.nodes_of(Where, Logical, LogicalNot, ToFloat, Compare)
    before, after = evaluate(b.graph(output), [X])[0], evaluate(graph, [X])[0]
    return before.astype(np.float32) + 0.0, after + 0.0, kinds(graph)


@pytest.mark.parametrize("relation", ["lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("constant", [None, 0.0, 0.7])
@pytest.mark.parametrize("first", [False, True])
def test_choices_between_tensors(relation: str, constant: float | None, first: bool) -> None:
    b = Build(2, 1, 2)
    square = b(Mul(), "x", "x")
    other = square if constant is None else b.constant(constant)
    condition = b(Compare(relation), "x", b.constant(0.5))
    output = b(Where(), condition, *((other, "x") if first else ("x", other)))
    before, after, found = both(b, output)
    np.testing.assert_array_equal(after, before)
    assert found.count("Add") <= (2 if relation in ("eq", "ne") else 1)


@pytest.mark.parametrize("op", [Logical("and"), Logical("or"), Logical("xor"), LogicalNot()])
def test_logic_of_comparisons_with_different_tensors(op: Op) -> None:
    b = Build(2, 1, 2)
    first = b(Compare("gt"), "x", b.constant(0.0))
    second = b(Compare("le"), b(Mul(), "x", "x"), b.constant(1.0))
    joined = b(Logical("or"), first, second) if isinstance(op, LogicalNot) else ""
    output = b(op, joined) if joined else b(op, first, second)
    for result in (b(ToFloat(), output), b(Mul(), output, "x"), b(Where(), output, "x", b.constant(-1.0))):
        before, after, _ = both(b, result)
        np.testing.assert_array_equal(after, before)


def test_nothing_to_do() -> None:
    b = Build(2, 1, 2)
    graph = b.graph(b(Mul(), "x", "x"))
    assert lower_masks(graph).graph is graph
