"""How a constant of the network came about: the expression of parameters behind a weight, kept beside its value.

A binary weight is written in many ways (`mean|w| * sign(w)`, with a noise term times 0, through a straight-through estimator, flat and
reshaped, standardised first). Capture records the expression instead of the value alone, so that

- the noise term and the straight-through estimator are removed by algebra, not by rounding;
- scales such as `mean|w|` are computed in float64 with sums that do not depend on their order. In float32 they depend on the number of
  threads and on the instruction set, and the exported file would differ from machine to machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
DoubleArray = NDArray[np.float64]

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

    def visit(node: Expression) -> Expression:
        if id(node) not in memo:
            args = tuple(visit(a) if isinstance(a, Expression) else a for a in node.args)
            memo[id(node)] = _rule(Expression(node.function, args, node.value, node.label))
        return memo[id(node)]

    return visit(expression)


def _is_zero(value: Any) -> bool:
    if isinstance(value, Expression):
        return not value.binarised and value.value.size > 0 and not np.any(value.value)
    return isinstance(value, int | float) and value == 0


def _rule(node: Expression) -> Expression:
    if node.function == "mul" and any(_is_zero(a) for a in node.args[:2]):
        return literal(np.zeros_like(node.value))
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


def evaluate64(expression: Expression) -> DoubleArray:
    """Computes an expression in float64; sums are exactly rounded, hence independent of order, threads and instruction set.

    A function this module does not know contributes the float32 value that PyTorch computed.
    """
    memo: dict[int, DoubleArray] = {}

    def visit(node: Any) -> Any:
        if not isinstance(node, Expression):
            return node
        if id(node) not in memo:
            function = _FUNCTIONS.get(node.function)
            if function is None:
                memo[id(node)] = node.value.astype(np.float64)
            else:
                memo[id(node)] = np.asarray(function(*(visit(a) for a in node.args)), dtype=np.float64)
                if memo[id(node)].shape != node.value.shape:
                    raise AssertionError(f"{node.function}: {memo[id(node)].shape} is not {node.value.shape}")
        return memo[id(node)]

    result: DoubleArray = visit(expression)
    return result


def _axes(rank: int, dims: Any) -> tuple[int, ...]:
    if dims is None or (isinstance(dims, list | tuple) and not dims):
        return tuple(range(rank))
    listed = [dims] if isinstance(dims, int) else list(dims)
    return tuple(sorted(d % rank for d in listed))


def exact_sum(values: DoubleArray, dims: Any = None, keepdim: bool = False) -> DoubleArray:
    """Sums over some dimensions with `math.fsum`: correctly rounded, whatever the order."""
    axes = _axes(values.ndim, dims)
    kept = [a for a in range(values.ndim) if a not in axes]
    moved = np.transpose(values, (*kept, *axes)).reshape(*(values.shape[a] for a in kept), -1)
    sums = np.array([math.fsum(row) for row in moved.reshape(-1, moved.shape[-1])], dtype=np.float64)
    shape = [1 if a in axes else values.shape[a] for a in range(values.ndim)]
    return sums.reshape(shape if keepdim else [values.shape[a] for a in kept])


def _count(values: DoubleArray, dims: Any) -> int:
    return int(np.prod([values.shape[a] for a in _axes(values.ndim, dims)]))


def _mean(values: DoubleArray, dims: Any = None, keepdim: bool = False, *_: Any) -> DoubleArray:
    return exact_sum(values, dims, keepdim) / _count(values, dims)


def _var(values: DoubleArray, dims: Any = None, correction: Any = 1, keepdim: bool = False) -> DoubleArray:
    if isinstance(dims, bool):
        dims, correction = None, int(dims)
    count = _count(values, dims)
    deviation = values - _mean(values, _axes(values.ndim, dims), True)
    return exact_sum(deviation**2, dims, keepdim) / (count - float(1 if correction is None else correction))


def _clamp(values: DoubleArray, low: Any = None, high: Any = None) -> DoubleArray:
    return np.clip(values, -np.inf if low is None else low, np.inf if high is None else high)


def _view(values: DoubleArray, *shape: Any) -> DoubleArray:
    return values.reshape(shape[0] if len(shape) == 1 and isinstance(shape[0], list | tuple) else shape)


def _flatten(values: DoubleArray, start: int = 0, end: int = -1) -> DoubleArray:
    start, end = start % values.ndim, end % values.ndim
    return values.reshape(*values.shape[:start], -1, *values.shape[end + 1 :])


def _expand(values: DoubleArray, shape: Any, *_: Any) -> DoubleArray:
    target = list(shape.shape) if isinstance(shape, np.ndarray) else list(shape)
    offset = len(target) - values.ndim
    target = [values.shape[i - offset] if size == -1 else size for i, size in enumerate(target)]
    return np.broadcast_to(values, target)


def _transpose(values: DoubleArray, a: int, b: int) -> DoubleArray:
    return np.swapaxes(values, a, b)


def _round_half_even(values: DoubleArray, *_: Any) -> DoubleArray:
    return np.rint(values)


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sign": np.sign,
    "sgn": np.sign,
    "abs": np.abs,
    "neg": np.negative,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "square": np.square,
    "reciprocal": lambda x: 1 / x,
    "log2": np.log2,
    "exp2": np.exp2,
    "round": _round_half_even,
    "floor": np.floor,
    "ceil": np.ceil,
    "relu": lambda x: np.maximum(x, 0),
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "rsub": lambda a, b: b - a,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "pow": np.power,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "logical_not": np.logical_not,
    "where": lambda c, a, b: np.where(c != 0, a, b),
    "mean": _mean,
    "sum": exact_sum,
    "var": _var,
    "std": lambda *args: np.sqrt(_var(*args)),
    "clamp": _clamp,
    "hardtanh": _clamp,
    "view": _view,
    "reshape": _view,
    "flatten": _flatten,
    "expand": _expand,
    "expand_as": _expand,
    "unsqueeze": lambda x, dim: np.expand_dims(x, dim if dim >= 0 else dim + x.ndim + 1),
    "squeeze": lambda x, *dim: np.squeeze(x, *dim) if all(x.shape[d] == 1 for d in dim) else x,
    "transpose": _transpose,
    "t": np.transpose,
    "permute": np.transpose,
}
