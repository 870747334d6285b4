"""Finding the state dict in what a training script saved."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint.averages import TRAINED_NAMES, choose, is_average, left_out_note

StateDict = dict[str, Tensor]

_MAX_DEPTH = 3


@dataclass(frozen=True)
class Found:
    """The parts found in the saved object.

    Attributes:
        state: the state dict.
        notes: which others were left out, and how to choose them.
    """

    state: StateDict
    notes: tuple[str, ...] = ()


def find_state_dict(content: Any, what: str) -> Found:
    """The state dict in the saved object; beside its average, that of the network that was trained.

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
        return Found(next(iter(candidates.values())))
    usual = [
        path for path in candidates if path.rpartition("/")[2] in TRAINED_NAMES and not is_average(path, "/")
    ]
    if len(usual) == 1:
        state = candidates[usual[0]]
        rivals = [
            path
            for path, other in candidates.items()
            if path != usual[0] and (_is_version(path) or other.keys() == state.keys())
        ]
        if not rivals:
            return Found(state)
        if choose([usual[0], *rivals], "/") is not None:
            how = [
                f"torch.save(torch.load(FILE, weights_only=True){_subscript(path)}, 'weights.pt')"
                for path in rivals
            ]
            return Found(state, (left_out_note(what, usual[0], rivals, how[0]),))
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


def _is_version(path: str) -> bool:
    """Whether a second state dict is by its name another version of the same network, not that of a loss."""
    return is_average(path, "/") or "best" in path.lower()


def _subscript(path: str) -> str:
    return "" if path == "(top level)" else "".join(f"[{part!r}]" for part in path.split("/"))


def shorten(names: Collection[str], limit: int = 8) -> str:
    """A list of names for an error message, cut after `limit` of them."""
    listed = ", ".join(list(names)[:limit])
    return listed if len(names) <= limit else f"{listed} and {len(names) - limit} more"
