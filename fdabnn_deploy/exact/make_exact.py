"""Makes a deployed graph exact: the same bits in any order of summation, with or without fused operators (docs/assumptions.md).

Afterwards every operator is of one of three classes (docs/numerics.md):

1. integers: binary layers, and thresholds behind them;
2. exact sums: float layers, pools and what may be folded into a layer, operands and parameters on dyadic grids, below `2^24` units;
3. pointwise operators that round once and that no runtime fuses with a layer.

The rules, one per kind of operator, are in `exact_rules`; this module walks the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fdabnn_deploy.exact.exact_rules import rule_for
from fdabnn_deploy.exact.graph_builder import GraphBuilder
from fdabnn_deploy.exact.grid_row import GridRow
from fdabnn_deploy.exact.guard_sums import guard_sums
from fdabnn_deploy.exact.operand_grids import Cutter
from fdabnn_deploy.exact.record import Numerics
from fdabnn_deploy.ir.composites import decompose
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.transforms.deploy import PassReport
from fdabnn_deploy.transforms.signs.thresholds import thresholds


@dataclass(frozen=True)
class Exact:
    """An exact graph and how it came about.

    Attributes:
        composed: the exact graph, every exact float layer one operator of `fdabnn_deploy.ir.composites`.
        graph: the same of standard operators; computes the same bits on every runtime that meets docs/assumptions.md.
        numerics: what was chosen; with it the same graph can be made again without samples.
        passes: what each step did.
        grids: per reduction, its grids.
    """

    composed: Graph
    graph: Graph
    numerics: Numerics
    passes: tuple[PassReport, ...]
    grids: tuple[GridRow, ...]


def make_exact(
    graph: Graph,
    samples: Sequence[Array] = (),
    ranges: Mapping[str, tuple[float, float]] | None = None,
    record: Numerics | None = None,
    slices: Mapping[str, int] | None = None,
) -> Exact:
    """Makes a graph exact.

    Limits and grids come from the record where there is one, else from recorded ranges and samples. They decide how closely the exact graph
    follows the trained one, never whether it is exact: the limits hold for every input, because the graph enforces them.

    Args:
        graph: a deployed graph.
        samples: one array [N, ...] per graph input, or none.
        ranges: recorded (smallest, largest) values by module path and of "input".
        record: of an earlier export of the same graph.
        slices: by the tensor of a float layer, how many slices it may have, 1 or 2, whatever that does to decisions.

    Raises:
        ModelRefusedError: an operator has no exact form; the message names it, the reason and the remedy. Or the record belongs to another
            graph.
    """
    reports = []
    for name, rewrite in (("thresholds", thresholds), ("guard_sums", guard_sums)):
        outcome = rewrite(graph)
        graph = outcome.graph
        reports.append(PassReport(name, outcome.applied, outcome.notes, outcome.skipped))
    builder = GraphBuilder(graph, samples, ranges or {})
    cutter = Cutter(builder, None if record is None else dict(record.cuts), slices)
    for node in graph:
        rule_for(node.op)(cutter, node)
        builder.done(node)
    cutter.check_finished()
    reports.append(PassReport("exact_grids", len(cutter.rows), (), ()))
    composed = builder.finish()
    numerics = Numerics("exact", cutter.cuts)
    return Exact(composed, decompose(composed), numerics, tuple(reports), tuple(cutter.rows))
