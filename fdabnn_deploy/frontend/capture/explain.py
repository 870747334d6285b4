"""Why a module could not be traced, in the user's terms: what forward() does, in which module and line, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import torch

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.capture.eager_run import INPUT, Event, Rehearsal, module_names, place_of
from fdabnn_deploy.frontend.checkpoint.unwrap import shorten

_MOST_EVENTS = 8
_UNKNOWN_OUTPUT = re.compile(r"Found <class '([^']+)'> in output, which is not a known type")


def refuse_rehearsal(found: Rehearsal, shape: tuple[int, ...]) -> None:
    """Does nothing for a module that runs and assigns nothing to `.data`, which would be traced as if it were not there.

    Args:
        found: what happened when it was run.
        shape: of the input that it was run on.

    Raises:
        ModelRefusedError: it does not run, or assigns to `.data`: all such statements.
    """
    if found.error is not None:
        where = f" {found.place}" if found.place is not None else ""
        raise ModelRefusedError(
            f"the model does not run on an input of shape {shape}: {_brief(found.error)}{where}; give the shape of one input without "
            "the batch (--input-shape, or the example input), and mend forward() where it needs more than that one input"
        )
    data = _distinct(event for event in found.events if event.kind == "data")
    if data:
        raise _listed(data)


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
    events = _distinct(event for event in found.events if event.kind == "python")
    here = [event for event in events if place is not None and event.place.source == place.source]
    if here or events:
        return _listed(here or events)
    reads = _distinct(event for event in found.events if event.kind == "read")
    if reads and "fake tensor" in str(error):
        return _listed(reads)
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


def _distinct(events: Iterable[Event]) -> list[Event]:
    """Each statement once."""
    return list({(event.kind, event.place): event for event in events}.values())


def _listed(events: Sequence[Event]) -> ModelRefusedError:
    lines = [_describe(event) for event in events[:_MOST_EVENTS]]
    if len(events) > _MOST_EVENTS:
        lines.append(f"and {len(events) - _MOST_EVENTS} more")
    if len(lines) == 1:
        return ModelRefusedError(f"the model cannot be traced: {lines[0]}")
    return ModelRefusedError("\n  ".join(["the model cannot be traced:", *lines]))


def _describe(event: Event) -> str:
    if event.kind == "read":
        return (
            f"{event.what} of an activation {event.place}, which tracing cannot follow; leave .data out, or write .detach(): "
            "torch.sign(x) for x.data.sign()"
        )
    if event.kind == "data":
        to = f" of {event.target}" if event.target else ""
        return (
            f"{event.what}{to} {event.place}, which tracing cannot follow; compute a new tensor instead: x = torch.sign(x) for an "
            "activation, weight = torch.sign(self.weight) and F.conv2d(x, weight, ...) for a weight"
        )
    of = INPUT if INPUT in event.origins else shorten(event.origins) or "constants"
    if event.what in ("numpy", "__array__", "tolist"):
        return (
            f"a tensor computed from {of} leaves PyTorch ({event.what}) {event.place}; write it with PyTorch's own functions, such as "
            "torch.quantile for np.percentile"
        )
    if event.what == "__bool__":
        what = f"a branch on the value of a tensor computed from {of}"
    else:
        what = f"the value of a tensor computed from {of} is taken into Python ({event.what})"
    if INPUT in event.origins:
        return f"{what} {event.place}; compute both sides and choose with torch.where, or keep one side only"
    return (
        f"{what} {event.place}; make it a plain Python number or bool before the export (self.name = float(self.name) in __init__ or after "
        "loading, and a comparison with that)"
    )


def _reason(error: BaseException) -> str:
    """PyTorch's reason in one line, without the advice to report it."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    text = re.sub(r"(Please|Pls) (file an issue|report)[^.]*\.?|https?://\S+", "", text).strip()
    return text[:300] or type(error).__name__


def _brief(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__
