"""Comparing what two runs of a model computed: bit by bit, decision by decision, layer by layer.

The rules:

- Two values are equal when their 32 bits are. There are two exceptions: +0 and -0 count as equal, since runtimes
  do not agree on the sign of a zero (such pairs are counted, `Comparison.zero_signs`), and any NaN equals any NaN.
- `atol`, an absolute tolerance that has to be asked for, lets values pass that differ by no more than it; how many
  did is counted (`Comparison.tolerated`). A NaN beside a number is never within it.
- Their distance in ulps (units in the last place) is the number of float32 values between them, plus one;
  equal values are at 0. NaN beside a number has no distance: it is counted apart, and the largest and the mean
  distance are then infinite.
- The decision for a picture is the position of the largest of its values, the first among equals (as `argmax`
  of every framework); of a single value it is its sign. A picture with a NaN on either side never agrees.

Distances and decisions describe a difference. Only bits, or the tolerance asked for, decide whether two runs agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ops import FloatArray

TOP1_THRESHOLD = 0.995
_NO_SIGN = np.uint32(0x7FFFFFFF)
_INFINITY = np.uint32(0x7F800000)


@dataclass(frozen=True)
class Difference:
    """One value that differs.

    Attributes:
        index: in the tensor [N, ...].
        a: what one side has there.
        b: what the other has.
        a_bits: the bits of `a` as a float32, such as `0x3f800000`.
        b_bits: those of `b`.
    """

    index: tuple[int, ...]
    a: float
    b: float
    a_bits: str = field(init=False)
    b_bits: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "a_bits", _hex(self.a))
        object.__setattr__(self, "b_bits", _hex(self.b))


@dataclass(frozen=True)
class Comparison:
    """Two tensors, or two lists of outputs, bit by bit.

    Attributes:
        values: how many were compared.
        differing: how many are not equal.
        max_ulps: the largest distance in units in the last place; `math.inf` where a NaN met a number.
        max_abs: the largest absolute difference; `math.inf` likewise.
        first: the first value that differs, in index order.
        zero_signs: how many are +0 on one side and -0 on the other, which counts as equal.
        mean_abs: the mean absolute difference over all values; `math.inf` as above.
        tolerated: how many of the differing ones are within the tolerance asked for.
    """

    values: int
    differing: int
    max_ulps: float
    max_abs: float
    first: Difference | None
    zero_signs: int = 0
    mean_abs: float = 0.0
    tolerated: int = 0

    @property
    def equal(self) -> bool:
        """Whether nothing differs, any tolerance aside."""
        return self.differing == 0

    @property
    def passed(self) -> bool:
        """Whether nothing differs but what was tolerated."""
        return self.differing == self.tolerated


@dataclass(frozen=True)
class Agreement:
    """How many of the decisions are the same."""

    images: int
    same: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.same / self.images

    @property
    def passed(self) -> bool:
        """Whether the share reaches `TOP1_THRESHOLD`."""
        return self.share >= TOP1_THRESHOLD


@dataclass(frozen=True)
class LayerComparison:
    """One tensor that both sides have."""

    tensor: str
    shape: tuple[int, ...]
    comparison: Comparison


def _unlike(a: FloatArray, b: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where the two differ, and where they are zeros of opposite sign, which is no difference.

    Whole numbers throughout: where a library has told the processor to flush denormals, `==` calls them zero.
    """
    bits_a, bits_b = _bits(a), _bits(b)
    unlike = bits_a != bits_b
    magnitude_a, magnitude_b = bits_a & _NO_SIGN, bits_b & _NO_SIGN
    zeros = unlike & ((magnitude_a | magnitude_b) == 0)
    both_nan = (magnitude_a > _INFINITY) & (magnitude_b > _INFINITY)
    return unlike & ~zeros & ~both_nan, zeros


def _bits(values: FloatArray) -> NDArray[np.uint32]:
    return np.ascontiguousarray(values, dtype=np.float32).reshape(np.shape(values)).view(np.uint32)


def _hex(value: float) -> str:
    return f"0x{int(np.float32(value).view(np.uint32)):08x}"


def ordinals(values: FloatArray) -> NDArray[np.int64]:
    """Numbers the float32 values in their order: neighbours get neighbouring integers, -0 and +0 both 0."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def compare(a: FloatArray, b: FloatArray, atol: float | None = None) -> Comparison:
    """Compares two float32 tensors of one shape.

    Args:
        a: one side.
        b: the other.
        atol: the absolute tolerance, None for bits alone.

    Raises:
        UsageError: the shapes differ.
    """
    if a.shape != b.shape:
        raise UsageError(f"shapes {list(a.shape)} and {list(b.shape)} cannot be compared")
    differs, zeros = _unlike(a, b)
    count, zero_signs = int(np.count_nonzero(differs)), int(np.count_nonzero(zeros))
    if count == 0:
        return Comparison(a.size, 0, 0, 0.0, None, zero_signs)
    # Of numbers only, and of the differing ones only: two equal infinities would subtract to NaN.
    numbers = differs & ~np.isnan(a) & ~np.isnan(b)
    ulps: float = math.inf
    absolute = mean = math.inf
    distances = np.abs(a[numbers].astype(np.float64) - b[numbers].astype(np.float64))
    if len(distances) == count:
        ulps = int(np.abs(ordinals(a[numbers]) - ordinals(b[numbers])).max())
        absolute, mean = float(distances.max()), float(distances.sum() / a.size)
    tolerated = 0 if atol is None else int(np.count_nonzero(distances <= atol))
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(differs)), a.shape))
    first = Difference(where, float(a[where]), float(b[where]))
    return Comparison(a.size, count, ulps, absolute, first, zero_signs, mean, tolerated)


def compare_outputs(
    a: Sequence[FloatArray], b: Sequence[FloatArray], atol: float | None = None
) -> Comparison:
    """Compares all outputs of a model together; `first` is of the first output that differs.

    Raises:
        UsageError: numbers or shapes of outputs differ.
    """
    if len(a) != len(b):
        raise UsageError(f"{len(a)} outputs cannot be compared with {len(b)}")
    parts = [compare(x, y, atol) for x, y in zip(a, b, strict=True)]
    values = sum(part.values for part in parts)
    return Comparison(
        values,
        sum(part.differing for part in parts),
        max(part.max_ulps for part in parts),
        max(part.max_abs for part in parts),
        next((part.first for part in parts if part.first is not None), None),
        sum(part.zero_signs for part in parts),
        sum(part.mean_abs * part.values for part in parts) / values,
        sum(part.tolerated for part in parts),
    )


def differing_images(a: Sequence[FloatArray], b: Sequence[FloatArray]) -> NDArray[np.int64]:
    """The positions of the pictures of which any output value differs, ascending; outputs as in `compare_outputs`."""
    differs = np.zeros(len(a[0]), dtype=bool)
    for x, y in zip(a, b, strict=True):
        differs |= _unlike(x, y)[0].reshape(len(x), -1).any(axis=1)
    return np.flatnonzero(differs)


def decisions(output: FloatArray) -> NDArray[np.int64]:
    """The decision per picture of an output [N, ...], -1 where it holds a NaN."""
    flat = output.reshape(len(output), -1)
    chosen = (flat[:, 0] >= 0).astype(np.int64) if flat.shape[1] == 1 else np.argmax(flat, axis=1)
    return np.where(np.isnan(flat).any(axis=1), -1, chosen).astype(np.int64)


def agreement(a: Sequence[FloatArray], b: Sequence[FloatArray]) -> Agreement:
    """Counts the pictures for which both sides decide the same, by their first output."""
    chosen_a, chosen_b = decisions(a[0]), decisions(b[0])
    return Agreement(len(chosen_a), int(np.count_nonzero((chosen_a == chosen_b) & (chosen_a >= 0))))


def accuracy(outputs: Sequence[FloatArray], labels: NDArray[np.int64] | None) -> float | None:
    """The share of pictures whose decision is their label, or None without labels."""
    if labels is None:
        return None
    return float(np.mean(decisions(outputs[0]) == labels))


def compare_layers(
    a: Mapping[str, FloatArray],
    b: Mapping[str, FloatArray],
    order: Iterable[str],
    atol: float | None = None,
) -> list[LayerComparison]:
    """Compares every tensor that both sides have, in the given order.

    Raises:
        UsageError: they have no tensor in common, or one of another shape.
    """
    layers = []
    for name in order:
        if name in a and name in b:
            if a[name].shape != b[name].shape:
                raise UsageError(
                    f"tensor {name} is {list(a[name].shape)} and {list(b[name].shape)}: "
                    "these are two different networks"
                )
            layers.append(LayerComparison(name, a[name].shape[1:], compare(a[name], b[name], atol)))
    if not layers:
        raise UsageError("the two sides have no tensor name in common: these are two different networks")
    return layers
