"""How a constant of the network came about: the expression of parameters behind a weight, kept beside its value.

A binary weight is written in many ways (`mean|w| * sign(w)`, with a noise term times 0, through a straight-through estimator, flat and
reshaped, standardised first). Capture records the expression instead of the value alone, so that

- the noise term and the straight-through estimator are removed by algebra, not by rounding;
- scales such as `mean|w|` are computed in float64 with sums that do not depend on their order. In float32 they depend on the number of
  threads and on the instruction set, and the exported file would differ from machine to machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SIGNS = frozenset({"sign", "sgn", "lt", "le", "gt", "ge"})
"""The functions that make two-valued tensors: what tells a binarised tensor from a float one."""


@dataclass(frozen=True, eq=False, repr=False)
class Expression:
    """A constant tensor and how it was computed.

    Attributes:
        function: name of the ATen function without overload, or `parameter` or `literal` for a leaf.
        args: expressions, and plain Python values such as dimensions.
        value: the tensor as PyTorch computed it.
        label: the parameter's name, for a leaf.
    """

    function: str
    args: tuple[Any, ...]
    value: Array
    label: str = ""

    def __iter__(self) -> Iterator[Expression]:
        """Every distinct expression below and including this one."""
        seen: set[int] = set()
        stack = [self]
        while stack:
            expression = stack.pop()
            if id(expression) not in seen:
                seen.add(id(expression))
                yield expression
                stack.extend(a for a in expression.args if isinstance(a, Expression))

    def __repr__(self) -> str:
        return f"{self.label or self.function}[{'x'.join(map(str, self.value.shape))}]"

    @property
    def binarised(self) -> bool:
        """Whether a sign or a comparison takes part in it."""
        return any(expression.function in SIGNS for expression in self)

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parameters and buffers it is computed from, sorted."""
        return tuple(sorted({e.label for e in self if e.function == "parameter"}))


def literal(value: Array) -> Expression:
    """A constant that is written in the code."""
    return Expression("literal", (), value)


def simplify(expression: Expression) -> Expression:
    """Removes what does not count, by exact algebra: `y * 0 = 0`, `x + 0 = x`, `(a - b) + b = a`.

    The products with zero are noise modules whose alpha is 0; the sums that cancel are straight-through estimators. A product with
    zero is 0 even where the other factor is not finite, which a finished checkpoint's noise module never is.
    """
    memo: dict[int, Expression] = {}
    equal: dict[tuple[object, ...], Expression] = {}

    def visit(node: Expression) -> Expression:
        if id(node) not in memo:
            args = tuple(visit(a) if isinstance(a, Expression) else a for a in node.args)
            # Equal expressions become one, such as a surrogate that is added and taken away.
            leaf = not any(isinstance(a, Expression) for a in args)
            key = (node.function, id(node.value) if leaf else None, *map(_key, args))
            if key not in equal:
                equal[key] = _rule(Expression(node.function, args, node.value, node.label))
            memo[id(node)] = equal[key]
        return memo[id(node)]

    return visit(expression)


def _key(argument: object) -> object:
    """Equal for equal arguments; expressions are equal where they are the same one."""
    if isinstance(argument, Expression):
        return id(argument)
    return tuple(map(_key, argument)) if isinstance(argument, list | tuple) else repr(argument)


def _is_zero(value: Any) -> bool:
    if isinstance(value, Expression):
        return not value.binarised and value.value.size > 0 and not np.any(value.value)
    return isinstance(value, int | float) and value == 0


def _rule(node: Expression) -> Expression:
    if node.function == "mul" and any(_is_zero(a) for a in node.args[:2]):
        return literal(np.broadcast_to(np.zeros((), node.value.dtype), node.value.shape))
    if node.function in ("add", "sub") and len(node.args) == 2:
        terms = _terms(node, +1)
        kept: list[tuple[int, Any]] = []
        for sign, term in terms:
            opposite = next((k for k, (s, t) in enumerate(kept) if s == -sign and t is term), None)
            if opposite is not None:
                del kept[opposite]
            elif not _is_zero(term):
                kept.append((sign, term))
        if len(kept) == 1 and kept[0][0] == 1 and isinstance(kept[0][1], Expression):
            only = kept[0][1]
            if only.value.shape == node.value.shape:
                return only
    return node


def _terms(node: Any, sign: int) -> list[tuple[int, Any]]:
    if isinstance(node, Expression) and node.function in ("add", "sub") and len(node.args) == 2:
        second = sign if node.function == "add" else -sign
        return [*_terms(node.args[0], sign), *_terms(node.args[1], second)]
    return [(sign, node)]
