"""Computing expressions in float64, where PyTorch computed them in float32.

Sums are rounded once (`exact_sum`), hence independent of order, threads and instruction set. What float32 holds exactly stays float32 on
the way, and big tensors are computed a few rows at a time: that takes less memory, and stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from fdabnn_deploy.ir.array_types import Array, DoubleArray
from fdabnn_deploy.ir.exact_sum import exact_total
from fdabnn_deploy.ir.expression import Expression, simplify

_VALUES_AT_ONCE = 2**18


def evaluate64(expression: Expression) -> DoubleArray:
    """Computes an expression in float64.

    A function this module does not know contributes the float32 value that PyTorch computed.
    """
    return _Evaluator().whole(expression).astype(np.float64, copy=False)


def rows64(expression: Expression) -> Iterator[tuple[slice, DoubleArray]]:
    """The values of `evaluate64`, some rows (the first dimension) after the other.

    Yields:
        Which rows, and their values: float64 [rows, ...].
    """
    evaluator, shape = _Evaluator(), expression.value.shape
    step = max(1, _VALUES_AT_ONCE // max(1, int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        rows = slice(start, min(start + step, shape[0]))
        yield rows, evaluator.some(expression, rows, shape).astype(np.float64, copy=False)


def release(expression: Expression) -> Expression:
    """The same expression without the values that `evaluate64` of its simple form does not read; that of the whole stays.

    In their place stand zeros or ones that take no memory, so that what is all zeros still is.
    """
    needed = {id(node.value) for node in simplify(expression) if node.function not in _FUNCTIONS}
    needed.add(id(expression.value))
    memo: dict[int, Expression] = {}

    def visit(node: Expression) -> Expression:
        if id(node) not in memo:
            args = tuple(visit(a) if isinstance(a, Expression) else a for a in node.args)
            value = (
                node.value
                if node.function == "parameter" or id(node.value) in needed
                else _stand_in(node.value)
            )
            memo[id(node)] = Expression(node.function, args, value, node.label)
        return memo[id(node)]

    return visit(expression)


def _stand_in(value: Array) -> Array:
    return np.broadcast_to(np.asarray(bool(np.any(value)), value.dtype), value.shape)


class _Evaluator:
    def __init__(self) -> None:
        self._known: dict[int, Array] = {}

    def whole(self, node: Expression) -> Array:
        """All of its values, float32 or float64."""
        if id(node) not in self._known:
            if node.function in _FUNCTIONS:
                args = [self.whole(a) if isinstance(a, Expression) else a for a in node.args]
                self._known[id(node)] = _applied(node.function, args, node.value.shape)
            else:
                self._known[id(node)] = _as_float(node.value)
        return self._known[id(node)]

    def some(self, node: Expression, rows: slice, shape: tuple[int, ...]) -> Array:
        """Some rows of its values, which have that shape as a whole, or broadcast to it."""
        if node.function in _ELEMENTWISE and node.value.shape == shape:
            args = [self.some(a, rows, shape) if isinstance(a, Expression) else a for a in node.args]
            return _applied(node.function, args, (rows.stop - rows.start, *shape[1:]))
        values = self.whole(node)
        return values[rows] if values.ndim == len(shape) and len(values) == shape[0] else values


def _applied(function: str, args: list[Any], shape: tuple[int, ...]) -> Array:
    """The value of one function: float32 where that is what its float64 value is, else float64."""
    if function in _COMPARISONS and all(map(_is_float32, args)):
        args = [np.asarray(a, np.float32) for a in args]
    elif function not in _KEEP_FLOAT32:
        args = [a.astype(np.float64, copy=False) if isinstance(a, np.ndarray) else a for a in args]
    value = np.asarray(_FUNCTIONS[function](*args))
    if value.shape != shape:
        raise AssertionError(f"{function}: {value.shape} is not {shape}")
    return _as_float(value)


def _as_float(value: Array) -> Array:
    if value.dtype == np.bool_:
        return value.astype(np.float32)
    return value if value.dtype == np.float32 else value.astype(np.float64, copy=False)


def _is_float32(value: Any) -> bool:
    """Whether float32 holds it as it is."""
    if isinstance(value, np.ndarray):
        return bool(value.dtype == np.float32)
    return isinstance(value, int | float) and bool(np.float32(value) == value)


def _axes(rank: int, dims: Any) -> tuple[int, ...]:
    if dims is None or (isinstance(dims, list | tuple) and not dims):
        return tuple(range(rank))
    listed = [dims] if isinstance(dims, int) else list(dims)
    return tuple(sorted(d % rank for d in listed))


def exact_sum(values: Array, dims: Any = None, keepdim: bool = False) -> DoubleArray:
    """Sums over some dimensions: correctly rounded, whatever the order."""
    axes = _axes(values.ndim, dims)
    kept = [a for a in range(values.ndim) if a not in axes]
    moved = np.transpose(values, (*kept, *axes)).reshape(*(values.shape[a] for a in kept), -1)
    sums = np.array([exact_total(row) for row in moved.reshape(-1, moved.shape[-1])], dtype=np.float64)
    shape = [1 if a in axes else values.shape[a] for a in range(values.ndim)]
    return sums.reshape(shape if keepdim else [values.shape[a] for a in kept])


def _count(values: Array, dims: Any) -> int:
    return int(np.prod([values.shape[a] for a in _axes(values.ndim, dims)]))


def _mean(values: Array, dims: Any = None, keepdim: bool = False, *_: Any) -> DoubleArray:
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
    # With its type given, NumPy widens float32 operands a few at a time.
    "add": partial(np.add, dtype=np.float64),
    "sub": partial(np.subtract, dtype=np.float64),
    "rsub": lambda a, b: np.subtract(b, a, dtype=np.float64),
    "mul": partial(np.multiply, dtype=np.float64),
    "div": partial(np.divide, dtype=np.float64),
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
_MOVES = frozenset(
    (
        *("view", "reshape", "flatten", "expand", "expand_as", "unsqueeze", "squeeze"),
        *("transpose", "t", "permute"),
    )
)
_REDUCTIONS = frozenset({"mean", "sum", "var", "std"})
_ELEMENTWISE = frozenset(_FUNCTIONS) - _MOVES - _REDUCTIONS
_KEEP_FLOAT32 = _MOVES | {"sign", "sgn", "abs", "neg", "mean", "sum", "add", "sub", "rsub", "mul", "div"}
"""Functions that take float32 values as they are: those that only choose and move values, sums, which are rounded once, and arithmetic
whose result is float64."""
_COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne", "where"})
"""Functions that only compare and choose: the same in float32, where all their operands are float32 values."""
