"""Operators that act on each value alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fdabnn_deploy.prove import fusion
from fdabnn_deploy.prove.domain import (
    SMALLEST_NORMAL,
    Comparison,
    Constants,
    Doubles,
    Ints,
    Link,
    Shape,
    Value,
    fits,
    is_power_of_two,
    largest,
    last_bits,
    of_constant,
    require_normal,
    require_ordinary,
    rounded,
    units,
)
from fdabnn_deploy.prove.result import Judged
from fdabnn_deploy.prove.rows import UnprovedError


def _aligned(a: Value, b: Value) -> tuple[Value, Value, Shape]:
    """Both with the rank of the result: constants get leading dimensions."""
    rank = max(len(a.shape), len(b.shape))
    a, b = _ranked(a, rank), _ranked(b, rank)
    try:
        return a, b, np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise UnprovedError(f"shapes {a.shape} and {b.shape} do not fit") from None


def _ranked(value: Value, rank: int) -> Value:
    if len(value.shape) == rank:
        return value
    if value.constant is None:
        raise UnprovedError(f"a tensor of shape {value.shape} meets one of {rank} dimensions")
    return of_constant(value.constant, rank)


def _rows(value: Value, exact: bool, why: str, bound: float | None = None) -> Judged:
    if exact and value.integer:
        return Judged(value, "exact integer", why, bound)
    return Judged(value, "exact sum" if bound is not None else "pointwise", why, bound)


def add(a: Value, b: Value) -> Judged:
    """`a + b`.

    Raises:
        UnprovedError: the result depends on the runtime.
    """
    a, b, value, exact = _total(a, b, subtract=False, within=np.inf)
    if (a.constant is None) != (b.constant is None):
        return _add_constant(a, b, False, exact, value)
    bound = fusion.residual_bound(a, b)
    if bound is not None:
        return _rows(
            value, exact, "exact even accumulated inside the convolution that makes an operand", bound
        )
    return _rows(value, exact, "no operand comes from a convolution; " + _once(exact))


def subtract(a: Value, b: Value, within: float = np.inf) -> Judged:
    """`a - b`, of magnitude `within` at most.

    Raises:
        UnprovedError: the result depends on the runtime.
    """
    a, b, value, exact = _total(a, b, subtract=True, within=within)
    if (a.constant is None) != (b.constant is None):
        return _add_constant(a, b, True, exact, value)
    return _rows(value, exact, "no runtime merges a subtraction with a convolution in front; " + _once(exact))


def _total(a: Value, b: Value, subtract: bool, within: float) -> tuple[Value, Value, Value, bool]:
    """Both operands with the same rank, the result, and whether it never rounds."""
    a, b, shape = _aligned(a, b)
    require_ordinary(a, "its first operand")
    require_ordinary(b, "its second operand")
    low, high = (a.low - b.high, a.high - b.low) if subtract else (a.low + b.low, a.high + b.high)
    low, high = np.maximum(low, -within), np.minimum(high, within)
    grid = np.maximum(a.grid, b.grid)
    exact = fits(np.maximum(np.abs(low), np.abs(high)), grid)
    if not exact:
        low, high = rounded(low, high)
    negative_zero = a.negative_zero and (subtract or b.negative_zero)
    if a.constant is not None or b.constant is not None:
        x, c = (b, a) if a.constant is not None else (a, b)
        negative_zero = negative_zero and not bool(np.all(c.grid > x.grid))
    return a, b, Value(shape, low, high, grid, negative_zero=negative_zero), exact


def _once(exact: bool) -> str:
    return "nothing is rounded" if exact else "rounded once"


def _add_constant(a: Value, b: Value, subtract: bool, exact: bool, value: Value) -> Judged:
    x, constant = (b, a) if a.constant is not None else (a, b)
    mirrored = subtract and x is b
    fusion.check_merge(x, "add", constant, exact)
    linear, bound = None, None
    if x.sum is not None:
        linear, bound = fusion.shifted_sum(x.sum, constant)
        linear = None if mirrored else linear
    link = Link("add", exact, scaling=False, reach=x.magnitude + constant.magnitude, constant=constant)
    value = replace(value, sum=linear, link=link)
    if bound is not None:
        return _rows(value, exact, "exact, also as a bias of the convolution in front", bound)
    return _rows(value, exact, f"an addition of constants that stands alone; {_once(exact)}")


def multiply(a: Value, b: Value) -> Judged:
    """`a * b`.

    Raises:
        UnprovedError: the result depends on the runtime.
    """
    a, b, shape = _aligned(a, b)
    x, c = (b, a) if a.constant is not None else (a, b)
    scaling = c.constant is not None and is_power_of_two(c.constant)
    if scaling:
        require_ordinary(replace(x, flushed=0.0))
    else:
        require_ordinary(a, "its first operand")
        require_ordinary(b, "its second operand")
    corners = np.stack(np.broadcast_arrays(a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high))
    low, high = corners.min(axis=0), corners.max(axis=0)
    grid = np.maximum(a.grid + b.grid, -1000)
    flushed = max(SMALLEST_NORMAL, x.flushed * largest(c.magnitude)) if x.flushed else 0.0
    if not (scaling and flushed):
        require_normal(grid, np.maximum(np.abs(low), np.abs(high)))
    exact = scaling or fits(np.maximum(np.abs(low), np.abs(high)), grid)
    if not exact:
        low, high = rounded(low, high)
    else:
        rounded(low, high)
    positive = c.constant is not None and bool(np.all(c.low > 0))
    value = Value(
        shape, low, high, grid, negative_zero=x.negative_zero if positive else not x.signs, flushed=flushed
    )
    if c.constant is None or x.constant is not None:
        return _rows(value, exact, f"a product of two tensors; {_once(exact)}")
    if x.signs and bool(np.all(np.abs(c.constant) == 1)):
        value = replace(value, signs=True)
    fusion.check_merge(x, "mul", c, exact)
    bound = None
    if x.sum is not None:
        linear, bound = fusion.scaled_sum(x.sum, c)
        value = replace(value, sum=linear)
    value = replace(value, link=Link("mul", exact, scaling, value.magnitude, c))
    if bound is not None:
        return _rows(
            value, exact, "exact, also as a factor of the weights of the convolution in front", bound
        )
    if scaling:
        return _rows(value, exact, "a factor that is a power of two; nothing is rounded")
    return _rows(value, exact, f"a multiplication by constants that stands alone; {_once(exact)}")


def limit(x: Value, low: float, high: float) -> Value:
    """`min(max(x, low), high)`.

    Raises:
        UnprovedError: NaN may arrive.
    """
    if x.nan:
        raise UnprovedError("NaN may arrive, and minimum and maximum of NaN differ between runtimes")
    _refuse_floor(x)
    grid = x.grid
    for bound, binds in ((low, bool(np.any(x.low < low))), (high, bool(np.any(x.high > high)))):
        if np.isfinite(bound) and binds:
            grid = np.maximum(grid, of_constant(np.array(bound)).grid)
    return Value(
        x.shape,
        np.minimum(np.maximum(x.low, low), high),
        np.minimum(np.maximum(x.high, low), high),
        grid,
        negative_zero=x.negative_zero,
        signs=x.signs and low <= -1 and high >= 1,
        flushed=x.flushed,
    )


def _refuse_floor(x: Value) -> None:
    if x.floor is not None:
        raise UnprovedError("minus infinity arrives from a padding")


def clip(x: Value, low: float, high: float) -> Judged:
    """`min(max(x, low), high)`; see `limit`."""
    return Judged(limit(x, low, high), "pointwise", "chooses among values, rounds nothing")


def extreme(a: Value, b: Value, largest_of: bool) -> Judged:
    """The larger or the smaller of two tensors.

    Raises:
        UnprovedError: NaN may arrive.
    """
    a, b, shape = _aligned(a, b)
    if a.nan or b.nan:
        raise UnprovedError("NaN may arrive, and minimum and maximum of NaN differ between runtimes")
    choose = np.maximum if largest_of else np.minimum
    low, high = choose(a.low, b.low), choose(a.high, b.high)
    _refuse_floor(a)
    _refuse_floor(b)
    value = Value(
        shape,
        low,
        high,
        _chosen_grid(a, b, largest_of),
        negative_zero=a.negative_zero or b.negative_zero,
        flushed=max(a.flushed, b.flushed),
    )
    return Judged(value, "pointwise", "chooses among values, rounds nothing")


def _chosen_grid(a: Value, b: Value, largest_of: bool) -> Ints:
    """The grid of a choice; where one operand can never win, the other's."""
    always_a = a.low >= b.high if largest_of else a.high <= b.low
    always_b = b.low >= a.high if largest_of else b.high <= a.low
    return np.where(always_a, a.grid, np.where(always_b, b.grid, np.maximum(a.grid, b.grid)))


def prelu(x: Value, slope: Constants) -> Judged:
    """`x where x > 0, else slope * x`.

    Raises:
        UnprovedError: the result depends on the runtime.
    """
    c = of_constant(slope, len(x.shape))
    require_ordinary(x)
    grid = np.maximum(x.grid, x.grid + c.grid)
    negative = np.minimum(x.low, 0.0)
    ends = np.stack(np.broadcast_arrays(np.maximum(x.low, 0), np.maximum(x.high, 0), negative * c.low))
    low, high = ends.min(axis=0), ends.max(axis=0)
    require_normal(grid, np.maximum(np.abs(low), np.abs(high)))
    shape = np.broadcast_shapes(x.shape, c.shape)
    if not fits(np.maximum(np.abs(low), np.abs(high)), grid):
        low, high = rounded(low, high)
    value = Value(shape, low, high, grid, negative_zero=x.negative_zero or bool(np.any(c.low <= 0)))
    return Judged(value, "pointwise", "one product of each negative value, and nothing is added to it")


def relu(x: Value) -> Judged:
    """`max(x, 0)`; see `limit`."""
    return clip(x, 0.0, np.inf)


def negate(x: Value) -> Judged:
    """`-x`."""
    require_ordinary(x)
    value = Value(x.shape, -x.high, -x.low, x.grid, signs=x.signs, negative_zero=not x.signs)
    return Judged(value, "pointwise", "changes signs, rounds nothing")


def round_half_even(x: Value) -> Judged:
    """The nearest integer.

    Denormal numbers become 0, flushed or not, as long as what stood in front left them below 1/2.

    Raises:
        UnprovedError: NaN or infinity may arrive.
    """
    require_ordinary(replace(x, flushed=0.0) if x.flushed < 0.5 else x)
    value = Value(
        x.shape,
        np.rint(x.low),
        np.rint(x.high),
        np.minimum(x.grid, 0),
        negative_zero=x.negative_zero or (not x.integer and bool(np.any(x.low < 0))),
    )
    bound = largest(units(value.magnitude, np.zeros_like(value.grid)))
    why = "nearest integer, halves to even: the same everywhere"
    return Judged(value, "pointwise", f"{why}; the largest is {bound:.0f}")


def compare(tensor: str, limit_value: float, relation: str) -> Judged:
    """`x relation limit`, for the tensor x of this name; what flushed denormal numbers do there is judged where it is used.

    Raises:
        UnprovedError: the limit is a denormal number, infinite or NaN.
    """
    if not np.isfinite(limit_value) or 0 < abs(limit_value) < SMALLEST_NORMAL:
        raise UnprovedError(f"it compares with {limit_value}")
    why = "a comparison, false for NaN and blind to the sign of zeros"
    return Judged(Comparison(relation, tensor, limit_value), "pointwise", why)


def sign_why(x: Value) -> str:
    """Judges a sign: the result for NaN and for both zeros.

    Raises:
        UnprovedError: NaN or denormal numbers may arrive.
    """
    if x.nan:
        raise UnprovedError(
            "NaN may arrive in a sign: x < 0 is false for it, but LCE's own aarch64 kernel reads its sign bit"
        )
    if x.flushed:
        raise UnprovedError(
            "denormal numbers may arrive in a sign, and some runtimes flush negative ones to zero"
        )
    zero = (
        "-0.0 may arrive and gives +1 wherever x < 0 is tested: on every runtime but LCE's own aarch64 kernel"
        if x.negative_zero
        else "-0.0 cannot arrive"
    )
    return f"x < 0 gives -1, +0 gives +1; NaN cannot arrive; {zero}"


def select(comparison: Comparison, x: Value, names: tuple[str, str], a: Value, b: Value) -> Judged:
    """`a where the comparison holds, else b`.

    Args:
        comparison: of the tensor x with a limit.
        x: the compared tensor.
        names: of a and b.
        a: a tensor or constant.
        b: a tensor or constant.

    Raises:
        UnprovedError: it is neither a sign nor a choice between the compared tensor and a constant.
    """
    if a.constant is not None and b.constant is not None:
        return _sign(comparison, x, a, b)
    holds = comparison.tensor == names[0]
    if not (holds or comparison.tensor == names[1]):
        raise UnprovedError("it chooses between tensors that were not compared")
    other = b if holds else a
    if other.constant is None or other.constant.size != 1:
        raise UnprovedError("it chooses between tensors that were not compared")
    _refuse_floor(x)
    constant = float(other.constant.reshape(-1)[0])
    if x.flushed and comparison.limit == 0 and constant != 0:
        raise UnprovedError(
            "a denormal number may be flushed to zero before the comparison with 0, and after it not"
        )
    below = (comparison.relation in {"<", "<="}) == holds
    low = np.maximum(x.low, -np.inf if below else comparison.limit)
    high = np.minimum(x.high, comparison.limit if below else np.inf)
    value = Value(
        x.shape,
        np.minimum(np.minimum(low, high), constant),
        np.maximum(np.maximum(low, high), constant),
        np.maximum(x.grid, last_bits(np.array(constant))),
        nan=x.nan and not holds,
        negative_zero=x.negative_zero,
        flushed=x.flushed,
    )
    why = "chooses among values, rounds nothing"
    if x.nan:
        why += f"; NaN gives {constant:g}" if holds else "; NaN stays"
    return Judged(value, "pointwise", why)


def _sign(comparison: Comparison, x: Value, a: Value, b: Value) -> Judged:
    branches = (set(np.unique(a.low)), set(np.unique(b.low)))
    rule = (comparison.relation, comparison.limit, *branches)
    if rule not in (("<", 0.0, {-1.0}, {1.0}), (">=", 0.0, {1.0}, {-1.0})):
        raise UnprovedError(
            f"it gives {sorted(branches[0])} where x {comparison.relation} {comparison.limit:g}, else {sorted(branches[1])}: not the "
            "sign x < 0 that all runtimes share"
        )
    return Judged(signs(x.shape), "sign", sign_why(x))


def signs(shape: Shape) -> Value:
    """A tensor of +1 and -1."""
    ones = (1,) * len(shape)
    low: Doubles = np.full(ones, -1.0)
    return Value(shape, low, -low, np.zeros(ones, dtype=np.int64), negative_zero=False, signs=True)
