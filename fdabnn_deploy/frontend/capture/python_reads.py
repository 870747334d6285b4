"""Values that forward() takes into Python: whether the network depends on those that another input, or a later call, would change.

A branch on a parameter is followed. A branch on the input, or on what a call changes, is followed too where it changes nothing: a check
that raises an error, a message. That is found out by tracing the module again with the other answer, and with every other combination of
answers. A number that the input or a later call would change, such as one that is printed, is harmless if traces with numbers of every
size in its place are all the same.
"""

from __future__ import annotations

import io
import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import torch

from fdabnn_deploy.frontend.capture.eager_run import INPUT, RANDOM, Read, Rehearsal, is_users, place_of

Export = Callable[[Sequence[Read], float | None], torch.export.ExportedProgram]
"""Traces a module with these values of what it reads, and with a number for what else it reads."""

TRUTHS = frozenset({"__bool__", "__contains__", "equal", "allclose", "is_nonzero"})
"""Functions that answer yes or no."""

TEXTS = frozenset({"__format__", "__repr__"})
"""Functions that write a tensor down."""

_MOST_BRANCHES = 4
_MOST_NUMBERS = 8
_SEEDS = 8
_OTHER_NUMBERS = (0.37, -1.0, 7.0, -300.0, 1e6, -1e9 - 7)
"""Added to numbers: of both signs, and from small to large."""

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
        if read.function not in TEXTS and {INPUT, RANDOM, *found.changing}.intersection(read.origins)
    ]
    if found.written:
        return tuple(found.reads[position] for position in sorted({*doubtful, *found.written}))
    branches = [position for position in doubtful if found.reads[position].function in TRUTHS]
    trial = _Trial(found, program, export, names)
    deciding = set(trial.numbers([position for position in doubtful if position not in branches]))
    if not deciding:
        deciding = set(trial.branches(branches))
    return tuple(found.reads[position] for position in sorted(deciding))


class _Trial:
    """Traces a module with other values of what it reads."""

    def __init__(
        self,
        found: Rehearsal,
        program: torch.export.ExportedProgram,
        export: Export,
        names: Mapping[int, str],
    ) -> None:
        self._reads = found.reads
        self._program = program
        self._export = export
        self._names = names

    def numbers(self, positions: Sequence[int]) -> Sequence[int]:
        """Of reads that are numbers, arrays or shapes, those that decide what is computed."""

        def decide(chosen: Sequence[int]) -> bool:
            return any(
                self._outcome(dict.fromkeys(chosen, partial(_moved, by=by))) == "another"
                for by in _OTHER_NUMBERS
            )

        if not positions or not decide(positions):
            return ()
        alone = [position for position in positions[:_MOST_NUMBERS] if decide([position])]
        return alone or positions

    def branches(self, positions: Sequence[int]) -> set[int]:
        """Of reads that answer yes or no, those that decide what is computed."""
        alone = {position: self._flipped([position]) for position in positions[: 4 * _MOST_BRANCHES]}
        deciding = {position for position in positions if alone.get(position, "another") == "another"}
        free = [position for position, outcome in alone.items() if outcome == "same"]
        if len(free) > _MOST_BRANCHES:
            deciding |= set(free)
        elif not deciding:
            for count in range(2, len(free) + 1):
                for chosen in combinations(free, count):
                    if self._flipped(chosen) == "another":
                        deciding |= set(chosen)
        return deciding

    def _flipped(self, chosen: Iterable[int]) -> str:
        return self._outcome(dict.fromkeys(chosen, _negated))

    def _outcome(self, changes: Mapping[int, Callable[[Any], Any]]) -> str:
        """How another trace ends: "same", "error" for one that the user's own code raises, or "another"."""
        reads = [
            replace(read, value=changes[position](read.value)) if position in changes else read
            for position, read in enumerate(self._reads)
        ]
        outcome = self._traced(reads, None)
        if outcome != "unknown":
            return outcome
        # Code on that branch reads more values: it may read any.
        outcomes = {self._traced(reads, guess) for guess in (0.0, *_OTHER_NUMBERS)}
        return next(iter(outcomes)) if len(outcomes) == 1 and "unknown" not in outcomes else "another"

    def _traced(self, reads: Sequence[Read], guess: float | None) -> str:
        try:
            # forward() prints example values here: nobody should read them.
            with redirect_stdout(io.StringIO()):
                traced = self._export(reads, guess)
            return "same" if equal_programs(self._program, traced) else "another"
        except Exception as error:  # noqa: BLE001 - the user's own error is one of the expected ends
            if _is_new_read(error):
                return "unknown"
            return "error" if _deliberate(error, self._names) else "another"


def guessed(function: str, tensor: torch.Tensor, number: float) -> Any:
    """The result of a function that takes values of a tensor into Python, with this number for every value."""
    if function in TRUTHS:
        return number > 0
    plain: Any = number if tensor.dtype.is_floating_point else int(number)
    if function in ("__int__", "__index__"):
        return int(number)
    if function in ("numpy", "__array__"):
        return np.full(tuple(tensor.shape), plain)
    return np.full(tuple(tensor.shape), plain).tolist() if function == "tolist" else plain


def _negated(value: Any) -> Any:
    return not value


def _moved(value: Any, by: float) -> Any:
    """Numbers with something added; a tensor whose shape depends on values has another length besides."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + math.ceil(by)
    if isinstance(value, float):
        return value + by
    if isinstance(value, list | tuple):
        return type(value)(_moved(item, by) for item in value)
    if isinstance(value, np.ndarray):
        return ~value if value.dtype == np.bool_ else (value + by).astype(value.dtype)
    if isinstance(value, torch.Tensor):
        other = torch.cat([value, value, value.new_zeros(1, *value.shape[1:])]) if by > 0 else value[:0]
        return ~other if other.dtype == torch.bool else (other + by).to(other.dtype)
    return value


def _is_new_read(error: BaseException | None) -> bool:
    """Whether an error is, or comes from, a value that nobody knows."""
    while error is not None and not isinstance(error, NewReadError):
        error = error.__cause__ or error.__context__
    return error is not None


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


def depends_on_chance(
    program: torch.export.ExportedProgram, export: Callable[[], torch.export.ExportedProgram]
) -> bool:
    """Whether the network is another one with other random numbers of Python or NumPy.

    Args:
        program: traced with some of them.
        export: traces the module.
    """
    before = (random.getstate(), np.random.get_state())
    try:
        for seed in range(_SEEDS):
            random.seed(seed)
            np.random.seed(seed)
            with redirect_stdout(io.StringIO()):
                if not equal_programs(program, export()):
                    return True
    except Exception:  # noqa: BLE001 - numbers that end the run decide
        return True
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
    return False


def _deliberate(error: BaseException, names: Mapping[int, str]) -> bool:
    """Whether an error is one that the user's own code raises."""
    place = place_of(error.__traceback__, dict(names))
    words = "" if place is None else place.text
    return is_users(error.__traceback__) and bool(re.search(r"\b(raise|assert)\b", words))


def equal_programs(a: torch.export.ExportedProgram, b: torch.export.ExportedProgram) -> bool:
    """Whether two traces of one module compute the same, what no output depends on left out."""
    (first, constants), (second, others) = _calls(a), _calls(b)
    pairs = zip(constants, others, strict=False)
    return first == second and all(x.shape == y.shape and torch.equal(x, y) for x, y in pairs)


def _calls(program: torch.export.ExportedProgram) -> tuple[list[str], list[torch.Tensor]]:
    """Every call as text, its operands by their positions (names count calls that nothing needs, too), and the constants that are read."""
    graph = torch.fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    # By itself PyTorch keeps calls that draw random numbers, or assert something.
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
    lifted = program.graph_signature.inputs_to_lifted_tensor_constants
    nodes = [node for node in graph.nodes if node.op != "placeholder" or node.users]
    position = {node: index for index, node in enumerate(nodes)}
    texts = []
    for node in nodes:
        target = node.target
        if node.op == "placeholder":
            target = "constant" if node.name in lifted else node.name
        operands: Any = torch.fx.node.map_arg((node.args, node.kwargs), lambda source: f"%{position[source]}")
        texts.append(f"{node.op} {target} {operands}")
    return texts, [program.constants[lifted[node.name]] for node in nodes if node.name in lifted]
