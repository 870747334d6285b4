"""The result of the prover: one row per operator of the judged file, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["exact integer", "exact sum", "pointwise", "moves values", "sign", "unproved"]
"""Classes of operators:

- `exact integer`: every intermediate result, in any order, is an integer of magnitude at most 2^24.
- `exact sum`: the same in units of a dyadic grid 2^-g.
- `pointwise`: each value is rounded at most once, by an operation that nothing can contract or fuse with another.
- `moves values`: nothing is computed.
- `sign`: a decision `x < 0`.
- `unproved`: none of these could be shown.
"""

SUM_LIMIT = 2.0**24
"""Float32 holds every integer up to this magnitude."""


@dataclass(frozen=True)
class Row:
    """The judgement of one operator.

    Attributes:
        op: the operator's name in the file.
        tensor: the name of the tensor it makes.
        kind: its class.
        bound_units: for sums, the proven bound of any partial sum in grid units; None elsewhere.
        room_bits: `24 - log2(bound_units)`, the bits to spare.
        why: the argument, one sentence.
    """

    op: str
    tensor: str
    kind: Kind
    bound_units: float | None
    room_bits: float | None
    why: str


@dataclass(frozen=True)
class Proof:
    """The judgement of a file.

    Attributes:
        rows: one per operator, in the order they run.
        failures: what could not be proved: the operator's tensor and name, and the reason. Operators that merely read the result of
            one of these are `unproved` rows without a failure of their own.
    """

    rows: tuple[Row, ...]
    failures: tuple[str, ...]

    @property
    def proved(self) -> bool:
        """Whether the file gives the same bits on every IEEE runtime."""
        return not self.failures


class UnprovedError(Exception):
    """An operator's class cannot be shown; the text is the reason."""
