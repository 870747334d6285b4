"""Values that forward() takes into Python: whether the network depends on those that another input, or a later call, would change.

A branch on a parameter is followed. A branch on the input, or on a counter, is followed too where it changes nothing: a check that raises
an error, a message, a statistic that is kept. That is found out by tracing the module again with other values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.eager_run import INPUT, Read, Rehearsal, is_users, place_of

Export = Callable[[Sequence[Read]], torch.export.ExportedProgram]
"""Traces a module with these values of what it reads."""

_MOST_TRACES = 16


def deciding_reads(
    found: Rehearsal, program: torch.export.ExportedProgram, export: Export, names: Mapping[int, str]
) -> tuple[Read, ...]:
    """The reads whose values change from input to input, or from call to call, and decide what is computed; empty where there is none.

    Args:
        found: of the module.
        program: traced with the values found.
        export: traces the module with other values.
        names: of its modules, by identity.
    """
    others = {
        position: another(read.value) for position, read in enumerate(found.reads) if INPUT in read.origins
    }
    others |= {position: found.again[position].value for position in found.changed}

    def same_with(changes: Mapping[int, Any]) -> bool:
        reads = [
            replace(read, value=changes.get(position, read.value))
            for position, read in enumerate(found.reads)
        ]
        try:
            return _equal(program, export(reads))
        except Exception as error:  # noqa: BLE001 - the user's own error is one of the expected ends
            return len(changes) == 1 and _deliberate(error, names)

    if not others or same_with(others):
        return ()
    listed = list(others.items())
    deciding = [position for position, value in listed[:_MOST_TRACES] if not same_with({position: value})]
    # Those beyond are not looked at one by one, and count as deciding.
    return tuple(found.reads[position] for position in (*deciding, *dict(listed[_MOST_TRACES:])))


def another(value: Any) -> Any:
    """A value of the same kind that is not equal."""
    if isinstance(value, str):
        return value + "?"
    if isinstance(value, list):
        return [another(item) for item in value]
    if isinstance(value, np.ndarray):
        return ~value if value.dtype == np.bool_ else value + np.ones((), value.dtype)
    return not value if isinstance(value, bool) else value + 1


def _deliberate(error: BaseException, names: Mapping[int, str]) -> bool:
    """Whether an error is one that the user's own code raises."""
    place = place_of(error.__traceback__, dict(names))
    words = "" if place is None else place.text
    return is_users(error.__traceback__) and bool(re.search(r"\b(raise|assert)\b", words))


def _equal(a: torch.export.ExportedProgram, b: torch.export.ExportedProgram) -> bool:
    """Whether two traces of one module compute the same, what no output depends on left out."""
    if _calls(a) != _calls(b) or a.constants.keys() != b.constants.keys():
        return False
    pairs = ((a.constants[name], b.constants[name]) for name in a.constants)
    return all(x.shape == y.shape and torch.equal(x, y) for x, y in pairs)


def _calls(program: torch.export.ExportedProgram) -> list[str]:
    """Every call as text, its operands by their positions: names count calls that nothing needs, too."""
    graph = torch.fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    graph.eliminate_dead_code()
    position = {node: index for index, node in enumerate(graph.nodes)}
    texts = []
    for node in graph.nodes:
        target = "" if node.op == "placeholder" else str(node.target)
        operands = torch.fx.node.map_arg((node.args, node.kwargs), lambda source: f"%{position[source]}")
        texts.append(f"{node.op} {target} {operands}")
    return texts
