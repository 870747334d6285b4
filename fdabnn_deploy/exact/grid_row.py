"""One line of the report on exact numerics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GridRow:
    """The grids of one reduction, for reports.

    Attributes:
        tensor: name of its result.
        module: path of the PyTorch module it comes from.
        kind: of the operator in the float graph.
        low: smallest value of the operand that is kept.
        high: largest one.
        exponent: the operand lies on multiples of `2^-exponent`.
        rounded: whether it had to be brought there.
        parts: exact sums that make the result.
        slice_bits: bits that each slice of the weights may have, None for as many as its sums leave.
        weight_bits: bits of the largest weight of the channel that has least, all its digits together; None without weights.
        error: predicted rounding error relative to the result, None where it comes from a record.
        clipped: share of the samples' values beyond the limits, None without samples.
    """

    tensor: str
    module: str
    kind: str
    low: float
    high: float
    exponent: int
    rounded: bool
    parts: int
    slice_bits: int | None
    weight_bits: int | None
    error: float | None
    clipped: float | None
