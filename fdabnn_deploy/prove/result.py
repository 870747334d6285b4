"""The result of a transfer function for one operator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.prove.domain import Comparison, Doubles, Ints, Value, largest, require_normal, units
from fdabnn_deploy.prove.rows import SUM_LIMIT, Kind, Row, UnprovedError


@dataclass(frozen=True)
class Judged:
    """An operator's result, its class, the argument, and for sums the bound in grid units."""

    value: Value | Comparison
    kind: Kind
    why: str
    bound: float | None = None

    def row(self, op: str, tensor: str) -> Row:
        """The report's row."""
        room = None
        if self.bound is not None:
            room = 24 - math.log2(self.bound) if self.bound > 0 else 24.0
        return Row(op, tensor, self.kind, self.bound, room, self.why)


def proven_bound(total: Doubles, grid: Ints, what: str) -> float:
    """The bound of a sum in grid units.

    Raises:
        UnprovedError: it exceeds 2^24, or results may be denormal.
    """
    require_normal(grid, total)
    total, grid = np.broadcast_arrays(total, grid)
    bounds = units(total, grid)
    bound = largest(bounds)
    if not bound <= SUM_LIMIT:
        place = np.unravel_index(int(np.argmax(bounds)), bounds.shape)
        where = f" at {[int(i) for i in place]}" if bounds.size > 1 else ""
        raise UnprovedError(
            f"{what} may need 2^{math.log2(bound) if math.isfinite(bound) else math.inf:.2f} units of 2^-{int(grid[place])}"
            f"{where}, float32 holds 2^24: its result depends on the order of summation"
        )
    return bound
