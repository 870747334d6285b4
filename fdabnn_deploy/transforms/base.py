"""The interface of passes: from a graph to a verified graph with an account of what was rewritten."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fdabnn_deploy.ir.graph import Graph


@dataclass(frozen=True)
class Outcome:
    """The result of a pass.

    Attributes:
        graph: the new graph (the old one where nothing applied).
        applied: how often the pass's rule applied.
        notes: what the user should know, one sentence each.
        skipped: places where the rule looked applicable but was not applied, each with the reason.
    """

    graph: Graph
    applied: int
    notes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


Pass = Callable[[Graph], Outcome]


def until_stable(sweep: Callable[[Graph], Outcome], graph: Graph) -> Outcome:
    """Repeats a sweep until it applies nothing; the counts and notes add up, the reasons are those of the last sweep."""
    applied = 0
    notes: list[str] = []
    while True:
        outcome = sweep(graph)
        applied += outcome.applied
        notes.extend(outcome.notes)
        graph = outcome.graph
        if not outcome.applied:
            return Outcome(graph, applied, tuple(notes), outcome.skipped)
