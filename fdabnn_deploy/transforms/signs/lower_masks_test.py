from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.ops import FloatArray, Op
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.pass_testing import Build, kinds
from fdabnn_deploy.transforms.signs.canonical_sign import canonical_sign
from fdabnn_deploy.transforms.signs.lower_masks import lower_masks

X = np.random.default_rng(3).choice([-2, -1, -0.5, -0.0, 0, 0.5, 1, 3], size=(40, 2, 1, 2)).astype(np.float32)


def both(b: Build, output: str) -> tuple[FloatArray, FloatArray, list[str]]:
    """The values as written and as lowered, and the kinds of operators."""
    graph = lower_masks(canonical_sign(b.graph(output)).graph).graph
    assert not graph.nodes_of(ops.Where, ops.Logical, ops.LogicalNot, ops.ToFloat, ops.Compare)
    before, after = evaluate(b.graph(output), [X])[0], evaluate(graph, [X])[0]
    return before.astype(np.float32) + 0.0, after + 0.0, kinds(graph)


@pytest.mark.parametrize("relation", ["lt", "le", "gt", "ge", "eq", "ne"])
@pytest.mark.parametrize("constant", [None, 0.0, 0.7])
@pytest.mark.parametrize("first", [False, True])
def test_choices_between_tensors(relation: str, constant: float | None, first: bool) -> None:
    b = Build(2, 1, 2)
    square = b(ops.Mul(), "x", "x")
    other = square if constant is None else b.constant(constant)
    condition = b(ops.Compare(relation), "x", b.constant(0.5))
    output = b(ops.Where(), condition, *((other, "x") if first else ("x", other)))
    before, after, found = both(b, output)
    np.testing.assert_array_equal(after, before)
    assert found.count("Add") <= (2 if relation in ("eq", "ne") else 1)


@pytest.mark.parametrize("op", [ops.Logical("and"), ops.Logical("or"), ops.Logical("xor"), ops.LogicalNot()])
def test_logic_of_comparisons_with_different_tensors(op: Op) -> None:
    b = Build(2, 1, 2)
    first = b(ops.Compare("gt"), "x", b.constant(0.0))
    second = b(ops.Compare("le"), b(ops.Mul(), "x", "x"), b.constant(1.0))
    joined = b(ops.Logical("or"), first, second) if isinstance(op, ops.LogicalNot) else ""
    output = b(op, joined) if joined else b(op, first, second)
    for result in (
        b(ops.ToFloat(), output),
        b(ops.Mul(), output, "x"),
        b(ops.Where(), output, "x", b.constant(-1.0)),
    ):
        before, after, _ = both(b, result)
        np.testing.assert_array_equal(after, before)


def test_nothing_to_do() -> None:
    b = Build(2, 1, 2)
    graph = b.graph(b(ops.Mul(), "x", "x"))
    assert lower_masks(graph).graph is graph


class _Drawn:
    """Draws comparisons, logic, choices and arithmetic of a tensor and its square, nested at random."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = Build(2, 1, 2)
        self.tensors = ["x", self.b(ops.Mul(), "x", "x")]

    def constant(self) -> str:
        value = self.rng.choice([-1, -0.5, 0, 0, 0.25, 0.5, 1, 2])
        if self.rng.random() < 0.2:
            return self.b.constant(np.array([value, 0.5]).reshape(1, 2, 1, 1))
        return self.b.constant(value)

    def number(self, depth: int) -> str:
        kind = self.rng.integers(0, 7) if depth else 6
        if kind == 0:
            return self.b(ops.ToFloat(), self.boolean(depth - 1))
        if kind == 1:
            return self.b(ops.TorchSign(), self.number(depth - 1))
        if kind == 2:
            operands = (self.number(depth - 1), self.constant())
            return self.b(ops.Where(), self.boolean(depth - 1), *self.rng.permutation(operands).tolist())
        if kind == 3:
            return self.b(ops.Where(), self.boolean(depth - 1), self.constant(), self.constant())
        if kind == 4:
            op = self.rng.choice(np.array([ops.Add(), ops.Sub(), ops.Mul(), ops.Maximum()], dtype=object))
            return self.b(op, self.number(depth - 1), self.constant())
        if kind == 5:
            op = self.rng.choice(np.array([ops.Unary("neg"), ops.Unary("abs"), ops.Relu()], dtype=object))
            return self.b(op, self.number(depth - 1))
        return str(self.rng.choice(self.tensors))

    def boolean(self, depth: int) -> str:
        kind = self.rng.integers(0, 4) if depth > 0 else 3
        if kind == 0:
            return self.b(ops.LogicalNot(), self.boolean(depth - 1))
        if kind == 1:
            function = str(self.rng.choice(["and", "or", "xor"]))
            return self.b(ops.Logical(function), self.boolean(depth - 1), self.boolean(depth - 1))
        relation = str(self.rng.choice(["lt", "le", "gt", "ge", "eq", "ne"]))
        first = self.number(max(depth - 1, 0))
        operands = (first, self.constant()) if kind == 2 else (first, self.number(max(depth - 1, 0)))
        return self.b(ops.Compare(relation), *operands)


@settings(deadline=None, max_examples=150)
@given(seed=st.integers(0, 2**32 - 1))
def test_drawn_comparisons_mean_what_they_say(seed: int) -> None:
    drawn = _Drawn(seed)
    output = drawn.number(4)
    graph = drawn.b.graph(output)
    rewritten = lower_masks(canonical_sign(graph, "exact").graph).graph
    before, after = evaluate(graph, [X])[0].astype(np.float32), evaluate(rewritten, [X])[0]
    np.testing.assert_array_equal(np.broadcast_to(after, before.shape) + 0.0, before + 0.0)
    left = rewritten.nodes_of(ops.Where, ops.Logical, ops.LogicalNot, ops.ToFloat)
    assert not left
