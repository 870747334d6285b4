"""Gives every spelling of a sign or comparison its deployed form, made of `Sign`: `x < 0` is -1, all else is +1.

A tensor that is constant below, at and above a threshold t of x (`steps`) becomes, with values a, b and c there,

| values                   | for instance                               | becomes                                                   |
|--------------------------|--------------------------------------------|-----------------------------------------------------------|
| `b == c`                 | `x >= t`, `where(x < t, a, c)`             | `Affine(Sign(x - t))` with values a and c                 |
| `a == b`                 | `x > t`, `where(x <= t, a, c)`             | `Affine(-Sign(t - x))`: `-Sign(t - x)` is +1 where x > t  |
| `b == (a + c) / 2`       | `torch.sign(x)`, `(x > 0) - (x < 0)`       | by the choice of `sign_zero`, see below                   |
| anything else            | `x == t`, `x != t`                         | the sum of two signs, with three scales                   |

A sign that is 0 at 0 has three values and one bit has two: with `sign_zero` "plus" b becomes c, with "minus" a, and with "exact" it stays:
it becomes `TorchSign`, which a later pass writes as the mean of two signs.

A comparison of two tensors is a comparison of their difference with 0; in float32 the difference is 0 only where they are equal. Affine
operators on a two-valued tensor are part of its values: `2 * (x >= 0).float() - 1` has the values -1 and 1, so it is `Sign(x)`. Booleans
become the numbers 0 and 1. NaN is false in `x < t` and `x > t`, as in PyTorch, but true in `x <= t`, `x >= t` and `x == t`, unlike in
PyTorch; in an exact graph no NaN reaches a comparison.
"""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Add, Affine, Constant, Op, Sign, Sub, TorchSign, Unary
from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.transforms.base import Outcome
from fdabnn_deploy.transforms.signs.step_functions import Step, outermost

_ROUNDINGS = 8 * float(np.finfo(np.float32).eps)
_WORDS = {"plus": "+1", "minus": "-1"}


def canonical_sign(graph: Graph, sign_zero: SignZero = "plus") -> Outcome:
    """Rewrites every step function that an operator other than a step function reads, or that the graph returns."""
    steps = outermost(graph)
    rewriting = _Rewriting(graph, sign_zero)
    for name, step in steps.items():
        rewriting.replace(graph[name], step)
    notes = []
    if rewriting.three_valued and sign_zero != "exact":
        notes.append(
            f"{rewriting.three_valued} sign{'s are' if rewriting.three_valued > 1 else ' is'} written so that a zero counts as 0; "
            f"deployed, a zero counts as {_WORDS[sign_zero]}"
        )
    return Outcome(rewriting.editor.finish() if steps else graph, len(steps), tuple(notes))


def is_three_valued(levels: tuple[DoubleArray, DoubleArray, DoubleArray]) -> bool:
    """Whether a step function is 0 at 0 up to scale and offset, as `torch.sign` is, and up to the roundings of `a * sign(x) + b`."""
    below, at, above = levels
    rounding = _ROUNDINGS * np.maximum(np.abs(below), np.abs(above))
    off = np.abs(at - (below + above) / 2)
    return bool(np.all(off <= np.where(below == above, 0, rounding)) and np.any(below != above))


class _Rewriting:
    """Edits the graph; comparisons of the same tensors with the same threshold share one difference."""

    def __init__(self, graph: Graph, sign_zero: SignZero) -> None:
        self.graph = graph
        self.editor = Editor(graph)
        self.three_valued = 0
        self._sign_zero = sign_zero
        self._made: dict[tuple[object, ...], str] = {}

    def replace(self, node: Node, step: Step) -> None:
        """Replaces the node that computes a step function."""
        shape = self.graph.shape(node.name)
        levels = step.levels(shape)
        assert levels is not None
        below, at, above = levels
        if is_three_valued(levels):
            self.three_valued += 1
            if self._sign_zero == "exact":
                self._scaled(node, TorchSign(), self._difference(node, step), below, above)
                return
            at = above if self._sign_zero == "plus" else below
        if np.array_equal(at, above):
            self._scaled(node, Sign(), self._difference(node, step), below, above)
        elif np.array_equal(below, at):
            self._scaled(node, Sign(), self._difference(node, step, negated=True), above, below)
        else:
            self._both(node, step, below, at, above)

    def _both(self, node: Node, step: Step, below: DoubleArray, at: DoubleArray, above: DoubleArray) -> None:
        """Three values from the sum of two signs: `Sign(x - t)` and `Sign(t - x)` are both +1 at the threshold, and opposite elsewhere."""
        rising = self._add(node, Sign(), (self._difference(node, step),), "sign")
        falling = self._add(node, Sign(), (self._difference(node, step, negated=True),), "sign")
        sum_of_both = self._add(node, Add(), (rising, falling), "equal")
        half = (at - below) / 2
        doubled = 2 * half.astype(np.float32) + below.astype(np.float32)
        if np.array_equal(below, above) and np.array_equal(doubled, at):
            self.editor.set(node.name, Affine(half, below), (sum_of_both,))
            return
        outer = self._sum(node, _value_at_minus(below), rising, _value_at_minus(above), falling)
        middle = self._add(node, Affine(at / 2, np.zeros_like(at)), (sum_of_both,), "scaled")
        self.editor.set(node.name, Add(), (outer, middle))

    def _scaled(self, node: Node, sign: Op, x: str, minus: DoubleArray, plus: DoubleArray) -> None:
        """A sign with the values `minus` and `plus` instead of -1 and +1."""
        half, middle = (plus - minus) / 2, (plus + minus) / 2
        if np.all(half == 1) and not np.any(middle):
            self.editor.set(node.name, sign, (x,))
            return
        name = self._add(node, sign, (x,), "sign")
        if _exact(half, middle, minus, plus):
            self.editor.set(node.name, Affine(half, middle), (name,))
            return
        # float32 rounds the mean of `minus` and `plus`. `v / 2 + v / 2` and `v / 2 - v / 2` are exact: each value gets its own affine.
        self.editor.set(node.name, Add(), (
            self._add(node, _value_at_minus(minus), (name,), "scaled"),
            self._add(node, Affine(plus / 2, plus / 2), (name,), "scaled"),
        ))  # fmt: skip

    def _sum(self, node: Node, first: Op, a: str, second: Op, b: str) -> str:
        operands = (self._add(node, first, (a,), "scaled"), self._add(node, second, (b,), "scaled"))
        return self._add(node, Add(), operands, "sum")

    def _difference(self, node: Node, step: Step, negated: bool = False) -> str:
        """`x - t`, or `t - x`."""
        key = (*step.key, negated)
        if key not in self._made:
            self._made[key] = self._subtract(node, step, negated)
        return self._made[key]

    def _subtract(self, node: Node, step: Step, negated: bool) -> str:
        x = step.source[0]
        if step.around_zero and self.graph.shape(x) == self.graph.shape(node.name):
            return self._add(node, Unary("neg"), (x,), "negated") if negated else x
        operands = step.source
        if len(operands) == 1:
            threshold = Constant(np.asarray(step.threshold, dtype=np.float32))
            operands = (*operands, self._add(node, threshold, (), "threshold"))
        return self._add(node, Sub(), operands[::-1] if negated else operands, "shifted")

    def _add(self, node: Node, op: Op, inputs: tuple[str, ...], part: str) -> str:
        name = self.editor.fresh(f"{node.module}/{part}" if node.module else part)
        self.editor.add(Node(name, op, inputs, node.module, node.source, node.text), near=node.name)
        return name


def _value_at_minus(value: DoubleArray) -> Affine:
    """The affine that maps a sign of -1 to the value, and +1 to 0."""
    return Affine(-value / 2, value / 2)


def _exact(half: DoubleArray, middle: DoubleArray, minus: DoubleArray, plus: DoubleArray) -> bool:
    """Whether `half s + middle` in float32 is exactly `minus` for s = -1 and `plus` for s = +1."""
    scale, offset = half.astype(np.float32), middle.astype(np.float32)
    return bool(np.all(scale + offset == plus) and np.all(offset - scale == minus))
