"""Comparing what two runs of a model computed: value by value, decision by decision, layer by layer.

The rules:

- Two values are equal when they compare equal as numbers (-0 and +0 do) or are both NaN.
- Their distance in ulps (units in the last place) is the number of float32 values between them, plus one;
  equal values are at 0. NaN beside a number has no distance: it is counted apart, and the largest distance is
  then infinite.
- The decision for a picture is the position of the largest of its values, the first among equals (as `argmax`
  of every framework); of a single value it is its sign. A picture with a NaN on either side never agrees.
- Two runs agree when at least 99.5 % of the decisions are the same (`TOP1_THRESHOLD`). Sums of floats are
  carried out in another order by every runtime, so their last bits may differ; binary layers are integers and
  are compared alone, where nothing may differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ops import FloatArray

TOP1_THRESHOLD = 0.995


@dataclass(frozen=True)
class Difference:
    """One value that differs: its index in the tensor [N, ...] and what either side has there."""

    index: tuple[int, ...]
    a: float
    b: float


@dataclass(frozen=True)
class Comparison:
    """Two tensors, value by value.

    Attributes:
        values: how many were compared.
        differing: how many are not equal.
        max_ulps: the largest distance in units in the last place; `math.inf` where a NaN met a number.
        max_abs: the largest absolute difference; `math.inf` likewise.
        first: the first value that differs, in index order.
    """

    values: int
    differing: int
    max_ulps: float
    max_abs: float
    first: Difference | None

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return self.differing == 0


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


def ordinals(values: FloatArray) -> NDArray[np.int64]:
    """Numbers the float32 values in their order: neighbours get neighbouring integers, -0 and +0 both 0."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def compare(a: FloatArray, b: FloatArray) -> Comparison:
    """Compares two tensors of one shape.

    Raises:
        UsageError: the shapes differ.
    """
    if a.shape != b.shape:
        raise UsageError(f"shapes {list(a.shape)} and {list(b.shape)} cannot be compared")
    nan_a, nan_b = np.isnan(a), np.isnan(b)
    differs = ~((a == b) | (nan_a & nan_b))
    count = int(np.count_nonzero(differs))
    if count == 0:
        return Comparison(a.size, 0, 0, 0.0, None)
    # Of numbers only, and of the differing ones only: two equal infinities would subtract to NaN.
    numbers = differs & ~nan_a & ~nan_b
    if np.array_equal(numbers, differs):
        ulps: float = int(np.abs(ordinals(a[numbers]) - ordinals(b[numbers])).max())
        absolute = float(np.abs(a[numbers].astype(np.float64) - b[numbers].astype(np.float64)).max())
    else:
        ulps = absolute = math.inf
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(differs)), a.shape))
    return Comparison(a.size, count, ulps, absolute, Difference(where, float(a[where]), float(b[where])))


def compare_outputs(a: Sequence[FloatArray], b: Sequence[FloatArray]) -> Comparison:
    """Compares all outputs of a model together; `first` is of the first output that differs.

    Raises:
        UsageError: numbers or shapes of outputs differ.
    """
    if len(a) != len(b):
        raise UsageError(f"{len(a)} outputs cannot be compared with {len(b)}")
    parts = [compare(x, y) for x, y in zip(a, b, strict=True)]
    return Comparison(
        sum(part.values for part in parts),
        sum(part.differing for part in parts),
        max(part.max_ulps for part in parts),
        max(part.max_abs for part in parts),
        next((part.first for part in parts if part.first is not None), None),
    )


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
    a: Mapping[str, FloatArray], b: Mapping[str, FloatArray], order: Iterable[str]
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
            layers.append(LayerComparison(name, a[name].shape[1:], compare(a[name], b[name])))
    if not layers:
        raise UsageError("the two sides have no tensor name in common: these are two different networks")
    return layers
