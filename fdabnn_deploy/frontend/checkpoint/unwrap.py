"""Finding the state dict in what a training script saved."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from fdabnn_deploy.errors import ModelRefusedError

StateDict = dict[str, Tensor]

# Where training scripts put the weights, beside optimizer states and averages that are not what the user
# means.
_USUAL_NAMES = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
)
_AVERAGE_MARKS = ("ema", "swa", "averag", "teacher", "best")
_MAX_DEPTH = 3


def find_state_dict(content: Any, what: str) -> StateDict:
    """The state dict in the saved object.

    Args:
        content: as `torch.load` gave it.
        what: how errors call the file.

    Raises:
        ModelRefusedError: there is none, or several and no way to tell which one is meant.
    """
    if not isinstance(content, Mapping):
        raise ModelRefusedError(
            f"{what} holds a {type(content).__name__}, not a state_dict or a dict with one in it"
        )
    candidates = _candidates(content, "", 0)
    if not candidates:
        raise ModelRefusedError(
            f"{what} holds no state_dict; its keys are {shorten([str(key) for key in content])}"
        )
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    usual = [path for path in candidates if path.rpartition("/")[2] in _USUAL_NAMES]
    if len(usual) == 1:
        chosen = usual[0]
        rivals = [
            path
            for path in candidates
            if path != chosen and _is_rival(path, candidates[path], candidates[chosen])
        ]
        if not rivals:
            return candidates[chosen]
    raise ModelRefusedError(
        f"{what} holds several state_dicts: {', '.join(repr(path) for path in candidates)}; save the one "
        "you mean alone: "
        f"torch.save(torch.load(FILE, weights_only=True){_subscript(next(iter(candidates)))}, 'weights.pt')"
    )


def _candidates(content: Mapping[Any, Any], path: str, depth: int) -> dict[str, StateDict]:
    tensors = {
        key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)
    }
    # A lone tensor beside other things is a figure such as best_acc; a dotted key is a parameter of a module.
    if tensors and (len(tensors) == len(content) or any("." in key for key in tensors)):
        return {path or "(top level)": tensors}
    found: dict[str, StateDict] = {}
    if depth < _MAX_DEPTH:
        for key, value in content.items():
            if isinstance(key, str) and isinstance(value, Mapping):
                found.update(_candidates(value, f"{path}/{key}" if path else key, depth + 1))
    return found


def _is_rival(path: str, state: StateDict, chosen: StateDict) -> bool:
    """Whether a second state dict is another version of the same network, not that of a loss."""
    return any(mark in path.lower() for mark in _AVERAGE_MARKS) or state.keys() == chosen.keys()


def _subscript(path: str) -> str:
    return "" if path == "(top level)" else "".join(f"[{part!r}]" for part in path.split("/"))


def shorten(names: Collection[str], limit: int = 8) -> str:
    """A list of names for an error message, cut after `limit` of them."""
    listed = ", ".join(list(names)[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"
