"""Why a module could not be traced, in the user's terms: what forward() does, in which module and line, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture.eager_run import (
    INPUT,
    RANDOM,
    TO_PYTHON,
    Read,
    Rehearsal,
    module_names,
    place_of,
)
from fdabnn_deploy.frontend.capture.python_reads import TRUTHS
from fdabnn_deploy.frontend.checkpoint.unwrap import shorten

_MOST_READS = 8
_NO_CHANCE = (
    "leave them out in eval mode (if self.training: ...), or draw them once and keep them as a buffer"
)
_UNKNOWN_OUTPUT = re.compile(r"Found <class '([^']+)'> in output, which is not a known type")


def refuse_rehearsal(found: Rehearsal, shape: tuple[int, ...]) -> None:
    """Does nothing for a module that runs.

    Args:
        found: what happened when it was run.
        shape: of the input that it was run on.

    Raises:
        ModelRefusedError: it does not run.
    """
    if found.error is not None:
        where = f" {found.place}" if found.place is not None else ""
        raise ModelRefusedError(
            f"the model does not run on an input of shape {shape}: {_brief(found.error)}{where}; give the shape of one input without "
            "the batch (--input-shape, or the example input), and mend forward() where it needs more than that one input"
        )


def refuse_registered(found: Rehearsal) -> None:
    """Does nothing for a module that registers nothing in forward(), or the same whatever it is given.

    Raises:
        ModelRefusedError: what it registers depends on the input, or on chance.
    """
    if found.unlike:
        raise ModelRefusedError(
            f"the model registers {shorten(found.unlike)} at its first call, with values that depend on the input or on random numbers: "
            "nobody knows the trained ones; call it once on real data before its weights are loaded, then export it"
        )


def refuse_chance(deciding: bool) -> None:
    """Does nothing where random numbers decide nothing.

    Raises:
        ModelRefusedError: they do.
    """
    if deciding:
        raise ModelRefusedError(
            "the model computes something else with other random numbers, which forward() draws from Python's or NumPy's generator at "
            f"every call; {_NO_CHANCE}"
        )


def refuse_counters(names: Sequence[str]) -> None:
    """Does nothing where there are none.

    Args:
        names: of numbers on modules that forward() changes, and on which the network depends.

    Raises:
        ModelRefusedError: their names.
    """
    if names:
        raise ModelRefusedError(
            f"the model computes something else when {shorten(names)} has another value, which forward() changes at every call; a file "
            "keeps no state: use a number that stays"
        )


def refuse_reads(found: Rehearsal, reads: Sequence[Read]) -> None:
    """Does nothing where there are none.

    Args:
        found: what happened when it was run.
        reads: values that were taken into Python and decide what is computed.

    Raises:
        ModelRefusedError: all their statements.
    """
    if reads:
        raise _listed(found, _distinct(reads))


def explain(
    module: torch.nn.Module, found: Rehearsal, shape: tuple[int, ...], error: BaseException
) -> ModelRefusedError:
    """The refusal of a module that `torch.export` did not take: what it did that cannot be traced, else PyTorch's own reason.

    Args:
        module: that was traced.
        found: what happened when it was run.
        shape: of the input that it was traced on.
        error: what `torch.export` raised.
    """
    place = place_of(error.__traceback__, module_names(module))
    source = "" if place is None else place.source
    here = [
        read
        for read in found.reads
        if source and read.place is not None and read.place.source == source and INPUT in read.origins
    ]
    if here:
        return _listed(found, _distinct(here))
    returned = _UNKNOWN_OUTPUT.search(str(error))
    if returned:
        return ModelRefusedError(
            f"the model cannot be traced: forward() returns a {returned[1].rpartition('.')[2]}, which tracing does not look into; return "
            "tensors, or tuples, lists, dicts or named tuples of them: wrap the model in a module whose forward() takes them out"
        )
    where = f" {place}" if place is not None else ""
    return ModelRefusedError(
        f"the model cannot be traced on an input of shape {shape}: {_reason(error)}{where}; forward() has to be plain tensor code without "
        "branches on tensor values: rewrite that statement, or take its module out of the exported one (--debug shows PyTorch's whole "
        "message)"
    )


def _distinct(reads: Iterable[Read]) -> list[Read]:
    """Each statement once."""
    return list({(read.function, read.place): read for read in reads}.values())


def _listed(found: Rehearsal, reads: Sequence[Read]) -> ModelRefusedError:
    lines = [_describe(found, read) for read in reads[:_MOST_READS]]
    if len(reads) > _MOST_READS:
        lines.append(f"and {len(reads) - _MOST_READS} more")
    if len(lines) == 1:
        return ModelRefusedError(f"the model cannot be traced: {lines[0]}")
    return ModelRefusedError("\n  ".join(["the model cannot be traced:", *lines]))


def _describe(found: Rehearsal, read: Read) -> str:
    of = next((one for one in (RANDOM, INPUT) if one in read.origins), "")
    of = of or shorten(read.origins) or "constants"
    where = read.place or "in a library"
    if read in [found.reads[position] for position in found.written]:
        return (
            f"the NumPy array of a tensor computed from {of} is written {where}, which changes the tensor, too; write it with "
            "PyTorch's own functions"
        )
    if read.function in ("numpy", "__array__", "tolist"):
        what = f"a tensor computed from {of} leaves PyTorch ({read.function})"
    elif read.function in TRUTHS:
        what = f"a branch on the value of a tensor computed from {of}"
    elif read.function in TO_PYTHON:
        what = f"the value of a tensor computed from {of} is taken into Python ({read.function})"
    else:
        what = f"the shape of a tensor depends on values computed from {of} ({read.function.strip('_')})"
    if RANDOM in read.origins:
        return f"{what} {where}, which are others at every call; {_NO_CHANCE}"
    if INPUT not in read.origins:
        return (
            f"{what} {where}, and forward() changes that value at every call, so the same input gives other values at a later one; a file "
            "keeps no state: use the value without changing it"
        )
    if read.function in ("numpy", "__array__", "tolist"):
        return (
            f"{what} {where}; write it with PyTorch's own functions, such as torch.quantile for np.percentile"
        )
    return f"{what} {where}; compute both sides and choose with torch.where, or keep one side only"


def _reason(error: BaseException) -> str:
    """PyTorch's reason in one line, without the advice to report it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = re.sub(r"(Please|Pls) (file an issue|report)[^.]*\.?|https?://\S+", "", text).strip()
    return text[:300] or type(error).__name__


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
