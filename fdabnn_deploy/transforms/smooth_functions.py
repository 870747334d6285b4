"""Smooth functions as formulas of sums, products and clamps, which every runtime rounds alike.

No two runtimes compute the same exponentials, so that a sigmoid has no exact form by itself. These formulas have one, and are as close to
the function as float32 is:

| function     | formula, with a = min(abs(x), 17)                                          | off by at most |
|--------------|----------------------------------------------------------------------------|----------------|
| `exp(-a)`    | p(a / 16)^16, p a polynomial of degree 6 (Chebyshev on 0 .. 17 / 16)         | 4e-7           |
| `1 / d`      | three steps of Newton, `r (2 - d r)`, from a line                           | 1e-7           |
| `sigmoid(x)` | 1/2 + sign(x) (1 / (1 + exp(-a)) - 1/2)                                     | 5e-7           |
| `tanh(x)`    | 2 sigmoid(2 x) - 1                                                          | 1.5e-6         |
| `erf(x)`     | sign(x) (1 - q(t) exp(-x^2)), t = 1 / (1 + p abs(x))                         | 1.5e-6         |
| `exp(x)`     | for x <= 0, as behind `min(x, 0)` in ELU                                   | 4e-7           |

The formula of erf is 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical Functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Affine, Clamp, Maximum, Mul, Op, Sign, Unary
from fdabnn_deploy.transforms.base import Outcome

_EXPONENTIAL = (
    0.9999999772916384, -0.9999978835716353, 0.4999676814875885, -0.16648054509114266, 0.04115114875247624, -0.0075857100653505104,
    0.0008247518272568421,
)  # fmt: skip
"""Of exp(-t) for t in 0 .. 17 / 16, lowest first."""
_LARGEST, _SQUARINGS = 17.0, 4
_ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
_ERF_SLOPE, _ERF_LARGEST = 0.3275911, 4.0


def smooth_functions(graph: Graph) -> Outcome:
    """Rewrites every such function that is left."""
    editor, applied = Editor(graph), 0
    for node in graph.nodes_of(Unary):
        assert isinstance(node.op, Unary)
        source = graph[node.inputs[0]].op
        formula = _Formula(editor, node, graph.shape(node.name)[1] if len(graph.shape(node.name)) > 1 else 1)
        rewrite = formula.rewrites.get(node.op.function)
        below_zero = isinstance(source, Clamp) and source.high <= 0
        if rewrite is None or (node.op.function == "exp" and not below_zero):
            continue
        op, inputs = rewrite(node.inputs[0])
        editor.set(node.name, op, inputs)
        applied += 1
    return Outcome(editor.finish() if applied else graph, applied)


_Last = tuple[Op, tuple[str, ...]]
"""The operator that makes the function's own tensor, and what it reads."""


class _Formula:
    """Writes the operators of one function's formula."""

    def __init__(self, editor: Editor, node: Node, channels: int) -> None:
        self._editor, self._node, self._channels = editor, node, channels
        self.rewrites: dict[str, Callable[[str], _Last]] = {
            "sigmoid": self.sigmoid,
            "tanh": self.tanh,
            "erf": self.erf,
            "exp": lambda x: self._last(self._exponential(self._affine(x, -1.0))),
        }

    def sigmoid(self, x: str) -> _Last:
        """1/2 + sign(x) (1 / (1 + exp(-abs(x))) - 1/2)."""
        return self._line(0.5, 1.0), (self._half(x),)

    def tanh(self, x: str) -> _Last:
        """2 sigmoid(2 x) - 1."""
        return self._line(0.0, 2.0), (self._half(self._affine(x, 2.0)),)

    def erf(self, x: str) -> _Last:
        """sign(x) (1 - q(t) exp(-x^2)), t = 1 / (1 + p abs(x))."""
        size = self._add(Clamp(0.0, _ERF_LARGEST), self._magnitude(x))
        t = self._reciprocal(
            self._affine(size, _ERF_SLOPE, 1.0), 1.31, -0.395, 1 / (1 + _ERF_SLOPE * _ERF_LARGEST)
        )
        q = self._add(Mul(), self._polynomial(t, _ERF), t)
        rest = self._add(Mul(), q, self._exponential(self._add(Mul(), size, size)))
        left = self._add(Clamp(0.0, 1.0), self._affine(rest, -1.0, 1.0))
        return Mul(), (left, self._add(Sign(), x))

    def _half(self, x: str) -> str:
        """sign(x) (1 / (1 + exp(-abs(x))) - 1/2)."""
        d = self._affine(self._exponential(self._magnitude(x)), 1.0, 1.0)
        s = self._reciprocal(d, 24 / 17, -8 / 17, 0.5)
        return self._add(Mul(), self._affine(s, 1.0, -0.5), self._add(Sign(), x))

    def _exponential(self, a: str) -> str:
        """exp(-a) for a >= 0."""
        t = self._affine(self._add(Clamp(0.0, _LARGEST), a), 2.0**-_SQUARINGS)
        y = self._add(Clamp(0.0, 1.0), self._polynomial(t, _EXPONENTIAL))
        for _ in range(_SQUARINGS):
            y = self._add(Mul(), y, y)
        return y

    def _reciprocal(self, d: str, offset: float, slope: float, least: float) -> str:
        """1 / d for d >= 1, from the line `slope d + offset`; the result lies between `least` and 1."""
        r = self._affine(d, slope, offset)
        for _ in range(3):
            r = self._add(Mul(), r, self._affine(self._add(Mul(), d, r), -1.0, 2.0))
            r = self._add(Clamp(least / 2, 1.0), r)
        return self._add(Clamp(least, 1.0), r)

    def _polynomial(self, t: str, coefficients: Sequence[float]) -> str:
        """Horner's rule, lowest coefficient first."""
        y = self._affine(t, coefficients[-1], coefficients[-2])
        for coefficient in coefficients[-3::-1]:
            y = self._affine(self._add(Mul(), y, t), 1.0, coefficient)
        return y

    def _magnitude(self, x: str) -> str:
        return self._add(Maximum(), x, self._affine(x, -1.0))

    def _affine(self, x: str, scale: float, offset: float = 0.0) -> str:
        return self._add(self._line(offset, scale), x)

    def _line(self, offset: float, scale: float) -> Affine:
        rounded = (float(np.float32(number)) for number in (scale, offset))
        return Affine(*(np.full(self._channels, number) for number in rounded))

    def _last(self, name: str) -> _Last:
        return self._line(0.0, 1.0), (name,)

    def _add(self, op: Op, *inputs: str) -> str:
        node = self._node
        name = self._editor.fresh(f"{node.name}_{op.kind.lower()}")
        self._editor.add(Node(name, op, inputs, node.module, node.source, node.text), near=node.name)
        return name
