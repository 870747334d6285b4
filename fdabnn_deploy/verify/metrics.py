"""Comparing what two runs of a model computed: bit by bit, decision by decision, layer by layer.

The rules:

- Two values are equal when their bits are, in the type that they have: floats of 16, 32 or 64 bits, integers, booleans
  (`fdabnn_deploy.ir.number_types`). There are two exceptions: +0 and -0 count as equal, since runtimes do not agree on the
  sign of a zero (such pairs are counted, `Comparison.zero_signs`), and any NaN equals any NaN.
- Every value of one side has its counterpart on the other, or the two cannot be compared: types, shapes and numbers of
  tensors have to be the same. Outputs whose shape is another for every image (`fdabnn_deploy.runtimes.batches`) are
  compared image by image.
- `atol`, an absolute tolerance that has to be asked for, lets values pass that differ by no more than it; how many
  did is counted (`Comparison.tolerated`). A NaN beside a number is never within it.
- Their distance in ulps (units in the last place) is the number of values of their type between them, plus one;
  equal values are at 0. NaN beside a number has no distance: it is counted apart, and the largest and the mean
  distance are then infinite.
- The decision for an image is the position of the largest of its values, the first among equals (as `argmax`
  of every framework); of a single float it is its sign, a single integer is itself the decision. An image with a NaN
  on either side never agrees.

Distances and decisions describe a difference. Only bits, or the tolerance asked for, decide whether two runs agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.errors import ModelRefusedError, ParityError, UsageError
from fdabnn_deploy.ir import number_types
from fdabnn_deploy.ir.ops import Array

TOP1_THRESHOLD = 0.995
NO_DECISION = int(np.iinfo(np.int64).min)


@dataclass(frozen=True)
class Difference:
    """One value that differs.

    Attributes:
        index: in the tensor [N, ...].
        a: what one side has there.
        b: what the other has.
        dtype: of both, as NumPy calls it.
        a_bits: the bits of `a`, such as `0x3f800000` of a float32.
        b_bits: those of `b`.
    """

    index: tuple[int, ...]
    a: float
    b: float
    dtype: str = "float32"
    a_bits: str = field(init=False)
    b_bits: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "a_bits", number_types.hex_bits(self.a, self.dtype))
        object.__setattr__(self, "b_bits", number_types.hex_bits(self.b, self.dtype))


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


def compare(a: Array, b: Array, atol: float | None = None, what: str = "a tensor") -> Comparison:
    """Compares two tensors of one shape and type.

    Args:
        a: one side.
        b: the other.
        atol: the absolute tolerance, None for bits alone.
        what: they are, for messages.

    Raises:
        ModelRefusedError: the shapes or the types differ.
    """
    if a.dtype == b.dtype == object:
        return _compare_objects(a, b, atol, what)
    if object in (a.dtype, b.dtype):
        raise ModelRefusedError(f"{what} has one shape on one side, and one per input on the other")
    if a.shape != b.shape:
        raise ModelRefusedError(f"{what}: shapes {list(a.shape)} and {list(b.shape)} cannot be compared")
    a, b = number_types.in_one_type(a, b, what)
    differs, zeros = number_types.unlike(a, b)
    count, zero_signs = int(np.count_nonzero(differs)), int(np.count_nonzero(zeros))
    if count == 0:
        return Comparison(a.size, 0, 0, 0.0, None, zero_signs)
    # Of numbers only, and of the differing ones only: two equal infinities would subtract to NaN.
    numbers = differs & ~number_types.nans(a) & ~number_types.nans(b)
    ulps: float = math.inf
    absolute = mean = math.inf
    distances = number_types.distances(a[numbers], b[numbers])
    if len(distances) == count:
        ulps = number_types.max_ulps(a[numbers], b[numbers])
        absolute, mean = float(distances.max()), float(distances.sum() / a.size)
    tolerated = 0 if atol is None else int(np.count_nonzero(distances <= atol))
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(differs)), a.shape))
    first = Difference(where, _plain(a[where]), _plain(b[where]), a.dtype.name)
    return Comparison(a.size, count, ulps, absolute, first, zero_signs, mean, tolerated)


def _plain(value: Any) -> float:
    """A Python number; of a boolean 0 or 1."""
    return (
        int(value) if value.dtype.kind == "b" else float(value) if value.dtype.kind == "f" else value.item()
    )


def _compare_objects(a: Array, b: Array, atol: float | None, what: str) -> Comparison:
    """Compares outputs that are arrays of tuples of tensors, one tuple per image."""
    parts = []
    for image, (ours, theirs) in enumerate(zip(a, b, strict=True)):
        here = f"{what} of input {image}"
        if len(ours) != len(theirs):
            raise ParityError(
                f"{here} is a sequence of {len(ours)} tensors on one side and of {len(theirs)} on the other"
            )
        for place, (x, y) in enumerate(zip(ours, theirs, strict=True)):
            if x.shape != y.shape:
                raise ParityError(f"{here} is {list(x.shape)} on one side and {list(y.shape)} on the other")
            found = compare(np.asarray(x), np.asarray(y), atol, here)
            if found.first is not None:
                found = replace(found, first=replace(found.first, index=(image, place, *found.first.index)))
            parts.append(found)
    return _together(parts)


def compare_outputs(a: Sequence[Array], b: Sequence[Array], atol: float | None = None) -> Comparison:
    """Compares all outputs of a model together; `first` is of the first output that differs.

    Raises:
        ModelRefusedError: numbers, shapes or types of outputs differ.
        ParityError: the shapes of one image's outputs differ, where they may be others for every image.
    """
    if len(a) != len(b):
        raise ModelRefusedError(f"{len(a)} outputs cannot be compared with {len(b)}")
    return _together([compare(x, y, atol, f"output {i}") for i, (x, y) in enumerate(zip(a, b, strict=True))])


def _together(parts: Sequence[Comparison]) -> Comparison:
    values = sum(part.values for part in parts)
    return Comparison(
        values,
        sum(part.differing for part in parts),
        max((part.max_ulps for part in parts), default=0),
        max((part.max_abs for part in parts), default=0.0),
        next((part.first for part in parts if part.first is not None), None),
        sum(part.zero_signs for part in parts),
        sum(part.mean_abs * part.values for part in parts) / max(values, 1),
        sum(part.tolerated for part in parts),
    )


def differing_images(a: Sequence[Array], b: Sequence[Array]) -> NDArray[np.int64]:
    """The positions of the images of which any output value differs, ascending; outputs as in `compare_outputs`."""
    differs = np.zeros(len(a[0]), dtype=bool)
    for x, y in zip(a, b, strict=True):
        if x.dtype == object:
            differs |= [not compare_outputs(ours, theirs).equal for ours, theirs in zip(x, y, strict=True)]
            continue
        unlike = number_types.unlike(*number_types.in_one_type(x, y, "an output"))[0]
        differs |= unlike.reshape(len(x), math.prod(x.shape[1:])).any(axis=1)
    return np.flatnonzero(differs)


def decisions(output: Array) -> NDArray[np.int64]:
    """The decision per image of an output [N, ...], `NO_DECISION` where it holds a NaN or nothing."""
    if output.dtype == object:
        flats = [np.concatenate([np.ravel(part) for part in image] or [np.zeros(0)]) for image in output]
        return np.array([decisions(flat[None])[0] for flat in flats], np.int64)
    flat = output.reshape(len(output), math.prod(output.shape[1:]))
    if flat.shape[1] == 0:
        return np.full(len(output), NO_DECISION)
    single = flat[:, 0] >= 0 if flat.dtype.kind == "f" else flat[:, 0]
    chosen = single if flat.shape[1] == 1 else np.argmax(flat, axis=1)
    return np.where(number_types.nans(flat).any(axis=1), NO_DECISION, chosen.astype(np.int64))


def agreement(a: Sequence[Array], b: Sequence[Array]) -> Agreement:
    """Counts the images for which both sides decide the same, by their first output."""
    chosen_a, chosen_b = decisions(a[0]), decisions(b[0])
    return Agreement(len(chosen_a), int(np.count_nonzero((chosen_a == chosen_b) & (chosen_a != NO_DECISION))))


def accuracy(outputs: Sequence[Array], labels: NDArray[np.int64] | None) -> float | None:
    """The share of images whose decision is their label, or None without labels."""
    if labels is None:
        return None
    return float(np.mean(decisions(outputs[0]) == labels))


def compare_layers(
    a: Mapping[str, Array],
    b: Mapping[str, Array],
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
