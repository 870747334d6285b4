"""Why a module could not be traced, in the user's terms: what forward() does, in which module and line, and what to write instead."""

from __future__ import annotations

import re

import torch

from fdabnn_deploy.capture.rehearse import INPUT, Event, Place, module_names, place_of, rehearse
from fdabnn_deploy.checkpoint.unwrap import shorten
from fdabnn_deploy.errors import ModelRefusedError

_MOST_EVENTS = 8


def explain(module: torch.nn.Module, example: torch.Tensor, error: BaseException) -> ModelRefusedError:
    """The refusal of a module that `torch.export` did not take.

    The module is run once on the example, and what it did that cannot be traced is told; else PyTorch's own reason, with the place.

    Args:
        module: that was traced; it is left as it is.
        example: that it was traced on.
        error: what `torch.export` raised.
    """
    found = rehearse(module, example)
    shape = tuple(example.shape)
    if found.error is not None:
        where = f" {found.place}" if found.place is not None else ""
        return ModelRefusedError(
            f"the model does not run on an input of shape {shape}: {_brief(found.error)}{where}; give the shape of one input without "
            "the batch (--input-shape, or the example input), and mend forward() where it needs more than that one input"
        )
    place = place_of(error.__traceback__, module_names(module))
    events = _telling(found.events, place)
    if events:
        lines = [_describe(event) for event in events[:_MOST_EVENTS]]
        if len(events) > _MOST_EVENTS:
            lines.append(f"and {len(events) - _MOST_EVENTS} more")
        if len(lines) == 1:
            return ModelRefusedError(f"the model cannot be traced: {lines[0]}")
        return ModelRefusedError("\n  ".join(["the model cannot be traced:", *lines]))
    where = f" {place}" if place is not None else ""
    return ModelRefusedError(
        f"the model cannot be traced on an input of shape {shape}: {_reason(error)}{where}; forward() has to be plain tensor code without "
        "branches on tensor values: rewrite that statement, or take its module out of the exported one (--debug shows PyTorch's whole "
        "message)"
    )


def _telling(events: tuple[Event, ...], place: Place | None) -> list[Event]:
    """The events that explain a failure, each statement once: those of `.data`, and of the values that became Python's."""
    distinct = list({(event.kind, event.place): event for event in events}.values())
    data = [event for event in distinct if event.kind == "data"]
    python = [event for event in distinct if event.kind == "python"]
    here = [event for event in python if place is not None and event.place.source == place.source]
    return [*data, *(here or ([] if data else python))]


def _describe(event: Event) -> str:
    if event.kind == "data":
        to = f" of {event.target}" if event.target else ""
        return (
            f"{event.what}{to} {event.place}, which tracing cannot follow; compute a new tensor instead: x = torch.sign(x) for an "
            "activation, weight = torch.sign(self.weight) and F.conv2d(x, weight, ...) for a weight"
        )
    of = shorten(event.origins) or "constants"
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
