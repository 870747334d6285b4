"""The abstract domain: limits and grid of a tensor, for every input, and the operators directly in front of it.

A float32 that is not denormal is `n * 2^-g` with an integer n. `Value.grid` is such a g, per channel or wherever it is known more finely:
all values are multiples of `2^-g`. Rounding to float32 keeps that true, so grids survive inexact operations and only grow by the
operands' own bits. A result whose magnitude is at most `2^24` grid units is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.prove.rows import SUM_LIMIT, UnprovedError

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]
Constants = NDArray[Any]
Shape = tuple[int, ...]

FREE_GRID = 149
"""Every float32, denormal or not, is a multiple of 2^-149."""
NORMAL_GRID = 126
"""On this grid and coarser ones no value is denormal."""
SMALLEST_NORMAL = 2.0**-126
ZERO_GRID = -1000
"""The grid exponent of the constant 0, a multiple of every unit."""
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class LinearSum:
    """A tensor that a convolution or dense layer makes, possibly followed by constant factors and addends only.

    Runtimes fold such factors and addends into the weights and the bias. All arrays broadcast against the tensor.

    Attributes:
        reach: `sum |w| max|x|` with the factors folded in.
        offset: the magnitude of the folded bias.
        grid: of products and bias.
    """

    reach: Doubles
    offset: Doubles
    grid: Ints


@dataclass(frozen=True)
class Link:
    """The constant addition or multiplication that makes a tensor; converters merge it with its neighbours.

    Attributes:
        kind: `add` or `mul`.
        exact: whether it never rounds.
        scaling: whether it multiplies by powers of two only.
        reach: the largest magnitude of its parts: of a sum, `max|x| + |c|`.
        constant: the constant.
        single: whether only one operator reads the result.
    """

    kind: Literal["add", "mul"]
    exact: bool
    scaling: bool
    reach: Doubles
    constant: Value
    single: bool = True


@dataclass(frozen=True)
class Value:
    """Bounds of a float tensor that hold for every input.

    Attributes:
        shape: of the tensor, batch first.
        low: smallest value; broadcasts against the tensor, as do the next two.
        high: largest value.
        grid: see the module.
        nan: whether NaN may occur.
        negative_zero: whether -0.0 may occur.
        signs: whether only +1 and -1 occur.
        flushed: an input's denormal numbers may have become 0 or not, depending on the runtime: this is the largest magnitude they now
            have; 0 where none arrive.
        octets: whether they are bytes, with which nothing may compute before they are cast.
        floor: where a padding by minus infinity surrounds the values: (begin, end) of what it surrounds, per dimension.
        constant: the values themselves, of a constant.
        sum: of a convolution's result, or None.
        link: of the result of a constant addition or multiplication, or None.
    """

    shape: Shape
    low: Doubles
    high: Doubles
    grid: Ints
    nan: bool = False
    negative_zero: bool = True
    signs: bool = False
    flushed: float = 0.0
    octets: bool = False
    floor: tuple[tuple[int, int], ...] | None = None
    constant: Constants | None = None
    sum: LinearSum | None = None
    link: Link | None = None

    @property
    def magnitude(self) -> Doubles:
        """The largest magnitude."""
        return np.maximum(np.abs(self.low), np.abs(self.high))

    @property
    def finite(self) -> bool:
        """Whether neither NaN nor infinity may occur."""
        return (
            not self.nan
            and self.floor is None
            and bool(np.all(np.isfinite(self.low)) and np.all(np.isfinite(self.high)))
        )

    @property
    def integer(self) -> bool:
        """Whether only integers occur."""
        return bool(np.all(self.grid <= 0))

    def moved(self, shape: Shape, move: Callable[[NDArray[Any]], NDArray[Any]]) -> Value:
        """The bounds after the values have moved; `move` is applied to each of their arrays."""
        return replace(
            self,
            shape=shape,
            low=move(self.low),
            high=move(self.high),
            grid=move(self.grid),
            constant=None,
            sum=None,
            link=None,
        )


@dataclass(frozen=True)
class Comparison:
    """A tensor of truth values: `x relation limit`, false for NaN.

    Attributes:
        relation: `<`, `<=`, `>` or `>=`.
        tensor: the name of x.
        limit: the constant, one number for all places.
    """

    relation: str
    tensor: str
    limit: float


def unknown(shape: Shape) -> Value:
    """The bounds of a graph input, of which nothing is known."""
    ones = (1,) * len(shape)
    return Value(
        shape,
        np.full(ones, -np.inf),
        np.full(ones, np.inf),
        np.full(ones, FREE_GRID, dtype=np.int64),
        nan=True,
        flushed=SMALLEST_NORMAL,
    )


def bytes_of_pixels(shape: Shape) -> Value:
    """The bounds of a graph input of bytes."""
    ones = (1,) * len(shape)
    low: Doubles = np.zeros(ones)
    return Value(shape, low, low + 255, np.zeros(ones, dtype=np.int64), negative_zero=False, octets=True)


def of_constant(values: Constants, rank: int = 0) -> Value:
    """A constant, given leading dimensions of 1 up to this rank.

    Raises:
        UnprovedError: it holds NaN, infinity or denormal numbers.
    """
    floats = np.asarray(values, dtype=np.float32)
    if not np.all(np.isfinite(floats)):
        raise UnprovedError("a constant is NaN or infinite")
    if np.any((floats != 0) & (np.abs(floats) < np.float32(SMALLEST_NORMAL))):
        raise UnprovedError("a constant is a denormal number, which some runtimes flush to zero")
    if floats.ndim < rank:
        floats = floats.reshape((1,) * (rank - floats.ndim) + floats.shape)
    doubles = floats.astype(np.float64)
    return Value(
        floats.shape,
        doubles,
        doubles,
        last_bits(floats),
        negative_zero=bool(np.any((floats == 0) & np.signbit(floats))),
        constant=floats,
    )


def last_bits(values: Constants) -> Ints:
    """The grid exponent g of each float32 number: its lowest set bit is worth 2^-g; `ZERO_GRID` for 0."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.int64)
    exponent = (bits >> 23) & 0xFF
    mantissa = (bits & 0x7FFFFF) | np.where(exponent > 0, 0x800000, 0)
    _, trailing = np.frexp((mantissa & -mantissa).astype(np.float64))
    lowest = np.maximum(exponent, 1) - 150 + (trailing - 1)
    return np.where(mantissa == 0, ZERO_GRID, -lowest).reshape(np.shape(values))


def is_power_of_two(values: Constants) -> bool:
    """Whether every number is 0 or +-2^n."""
    mantissa, _ = np.frexp(np.abs(np.asarray(values, dtype=np.float64)))
    return bool(np.all((mantissa == 0.5) | (mantissa == 0)))


def units(magnitude: Doubles, grid: Ints) -> Doubles:
    """A magnitude in units of 2^-grid."""
    return np.asarray(np.ldexp(magnitude, grid))


def fits(magnitude: Doubles, grid: Ints) -> bool:
    """Whether every multiple of 2^-grid up to this magnitude is a float32 number."""
    return bool(np.all(units(magnitude, grid) <= SUM_LIMIT))


def rounded(low: Doubles, high: Doubles) -> tuple[Doubles, Doubles]:
    """Limits of the float32 results whose unrounded values lie in [low, high].

    Raises:
        UnprovedError: the results may overflow.
    """
    if not max(float(np.max(np.abs(low))), float(np.max(np.abs(high)))) < _LARGEST:
        raise UnprovedError("the result may overflow")
    infinity = np.float32(np.inf)
    return (
        np.nextafter(low.astype(np.float32), -infinity).astype(np.float64),
        np.nextafter(high.astype(np.float32), infinity).astype(np.float64),
    )


def require_ordinary(value: Value, who: str = "its operand") -> None:
    """Refuses operands that runtimes treat differently.

    Raises:
        UnprovedError: NaN, infinity or denormal numbers may arrive.
    """
    if value.nan:
        raise UnprovedError(f"NaN may arrive in {who}: no input guard stands in front")
    if not value.finite:
        raise UnprovedError(f"infinity may arrive in {who}")
    if value.flushed:
        raise UnprovedError(
            f"denormal numbers may arrive in {who}, and some runtimes flush them to zero (no Round stands in front)"
        )


def largest(values: Doubles) -> float:
    """The largest entry, for rows and messages."""
    return float(np.max(values)) if values.size else 0.0


def require_normal(grid: Ints, magnitude: Doubles) -> None:
    """Refuses results that may be denormal.

    Raises:
        UnprovedError: nonzero multiples of 2^-grid may be.
    """
    finest = np.where(magnitude > 0, grid, ZERO_GRID)
    if np.any(finest > NORMAL_GRID):
        raise UnprovedError(
            f"its nonzero results may be denormal numbers: they are multiples of 2^-{int(np.max(finest))}"
        )
