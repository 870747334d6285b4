"""Where limits and grids are decided and put in front of a reduction."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.graph_builder import GraphBuilder
from fdabnn_deploy.exact.grid_row import GridRow
from fdabnn_deploy.exact.record import Cut
from fdabnn_deploy.ir.graph import Node
from fdabnn_deploy.ir.ops import Clamp, RoundToGrid
from fdabnn_deploy.ir.ranges import Values

MARGIN = 1.5
"""By which seen ranges are widened: unseen images go a little further."""


def limits_of(cut: Cut, values: Values) -> tuple[float, float] | None:
    """The limits of a cut, None where the values are proven to lie within them."""
    outside = np.any(values.low < cut.low) or np.any(values.high > cut.high)
    return (cut.low, cut.high) if outside else None


class Cutter:
    """Puts limits and grids in front of reductions, chosen here or taken from a record.

    Args:
        builder: the graph under construction.
        recorded: cuts to take instead of choosing, or None.
        slices: by the name of a layer, how many slices it has at most (`plan.SLICES`); others have as many as their signs need.

    Attributes:
        cuts: made so far, by the name of the reduction or input.
        rows: for reports.
    """

    def __init__(
        self, builder: GraphBuilder, recorded: dict[str, Cut] | None, slices: Mapping[str, int] | None = None
    ) -> None:
        self.builder = builder
        self.slices = slices or {}
        self.cuts: dict[str, Cut] = {}
        self.rows: list[GridRow] = []
        self._recorded = recorded

    def decide(self, node: Node, chosen: Callable[[], tuple[Cut, float]]) -> tuple[Cut, float | None]:
        """The cut of a reduction or input and its predicted error.

        Raises:
            ModelRefusedError: the record has none for it.
        """
        cut, error = self._from_record(node) if self._recorded is not None else chosen()
        self.cuts[node.name] = cut
        return cut, error

    def _from_record(self, node: Node) -> tuple[Cut, None]:
        assert self._recorded is not None
        if node.name not in self._recorded:
            raise ModelRefusedError(
                f"the recorded numerics say nothing about {node.name}: they belong to another model or version; export the model again"
            )
        return self._recorded.pop(node.name), None

    def check_finished(self) -> None:
        """Makes sure that a record was of this graph.

        Raises:
            ModelRefusedError: it has cuts that nothing asked for.
        """
        if self._recorded:
            raise ModelRefusedError(
                f"the recorded numerics are about {next(iter(self._recorded))}, which this model has not: "
                "they belong to another model or version; export the model again"
            )

    def limit(self, node: Node, cut: Cut) -> str:
        """Emits the limits of a reduction's operand where they are not proven anyway; returns the limited tensor."""
        builder, name = self.builder, self.builder.name(node.inputs[0])
        limits = limits_of(cut, builder.bounds(name))
        return name if limits is None else builder.add(node, Clamp(*limits), [name], "limited")

    def round(self, node: Node, cut: Cut, limited: str) -> str:
        """Emits the rounding of a limited operand; returns the tensor on the grid."""
        if cut.exponent is not None and self.builder.bounds(limited).grid > cut.exponent:
            return self.builder.add(node, RoundToGrid(cut.exponent), [limited], "on_grid")
        return limited

    def note(
        self,
        node: Node,
        cut: Cut,
        operand: Values,
        error: float | None,
        clipped: float | None,
        weight_bits: int | None,
    ) -> None:
        """Adds a reduction to the report."""
        row = GridRow(
            tensor=node.name,
            module=node.module,
            kind=node.op.kind,
            low=float(operand.low.min()),
            high=float(operand.high.max()),
            exponent=operand.grid,
            rounded=cut.exponent is not None,
            parts=cut.parts,
            slice_bits=cut.bits,
            weight_bits=weight_bits,
            error=error,
            clipped=clipped,
        )
        self.rows.append(row)
