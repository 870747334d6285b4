"""Values that forward() takes into Python: whether the network depends on those that another input, or a later call, would change.

A branch on a parameter is followed. A branch on the input, or on what a call changes, is followed too where it changes nothing: a check
that raises an error, a message. That is found out by tracing the module again with the other answer, and with every other combination of
answers. A number that the input or a later call would change has too many other values for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import torch

from fdabnn_deploy.frontend.capture.eager_run import INPUT, Read, Rehearsal, is_users, place_of

Export = Callable[[Sequence[Read]], torch.export.ExportedProgram]
"""Traces a module with these values of what it reads."""

TRUTHS = frozenset({"__bool__", "__contains__", "equal", "allclose", "is_nonzero"})
"""Functions that answer yes or no."""

TEXTS = frozenset({"__format__", "__repr__"})
"""Functions that write a tensor down."""

_MOST_BRANCHES = 4
_OTHER_COUNTS = (1, 7, 10**6, 10**9 + 7)


class NewReadError(Exception):
    """On another branch, forward() takes a value that nobody knows."""


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
    doubtful = [
        position
        for position, read in enumerate(found.reads)
        if read.function not in TEXTS and (INPUT in read.origins or found.changing & set(read.origins))
    ]
    branches = [position for position in doubtful if found.reads[position].function in TRUTHS]
    deciding = {*(position for position in doubtful if position not in branches), *found.written}

    def outcome(flipped: Iterable[int]) -> str:
        changed = set(flipped)
        reads = [
            replace(read, value=not read.value) if position in changed else read
            for position, read in enumerate(found.reads)
        ]
        try:
            return "same" if equal_programs(program, export(reads)) else "another"
        except Exception as error:  # noqa: BLE001 - the user's own error is one of the expected ends
            return "error" if _deliberate(error, names) else "another"

    if deciding:
        return tuple(found.reads[position] for position in sorted(deciding))
    alone = {position: outcome([position]) for position in branches[: 4 * _MOST_BRANCHES]}
    deciding |= {position for position in branches if alone.get(position, "another") == "another"}
    free = [position for position, what in alone.items() if what == "same"]
    if len(free) > _MOST_BRANCHES:
        deciding |= set(free)
    elif not deciding:
        for count in range(2, len(free) + 1):
            for chosen in combinations(free, count):
                if outcome(chosen) == "another":
                    deciding |= set(chosen)
    return tuple(found.reads[position] for position in sorted(deciding))


def deciding_counters(
    found: Rehearsal,
    program: torch.export.ExportedProgram,
    export: Callable[[], torch.export.ExportedProgram],
    module: torch.nn.Module,
) -> tuple[str, ...]:
    """The numbers on modules that calls change, such as `self.calls`, and on which the network depends.

    Args:
        found: of the module.
        program: traced with the numbers as they are.
        export: traces the module.
        module: its numbers are changed, and put back.
    """
    deciding = []
    for path, name, value in found.counters:
        owner = module.get_submodule(path)
        try:
            for more in _OTHER_COUNTS:
                setattr(owner, name, value + more)
                if not equal_programs(program, export()):
                    deciding.append(f"{path}.{name}" if path else name)
                    break
        except Exception:  # noqa: BLE001 - a count that ends the run decides
            deciding.append(f"{path}.{name}" if path else name)
        finally:
            setattr(owner, name, value)
    return tuple(deciding)


def _deliberate(error: BaseException, names: Mapping[int, str]) -> bool:
    """Whether an error is one that the user's own code raises."""
    place = place_of(error.__traceback__, dict(names))
    words = "" if place is None else place.text
    return is_users(error.__traceback__) and bool(re.search(r"\b(raise|assert)\b", words))


def equal_programs(a: torch.export.ExportedProgram, b: torch.export.ExportedProgram) -> bool:
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
        operands: Any = torch.fx.node.map_arg((node.args, node.kwargs), lambda source: f"%{position[source]}")
        texts.append(f"{node.op} {target} {operands}")
    return texts
