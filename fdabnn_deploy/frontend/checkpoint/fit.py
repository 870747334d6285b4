"""Fitting the keys of a state dict to a network: wrappers' prefixes, pruning masks, and what training left beside the weights."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.frontend.checkpoint.averages import choose, left_out_note
from fdabnn_deploy.frontend.checkpoint.unwrap import StateDict, shorten

# torch.compile and DataParallel put these in front of the keys of whatever they wrap, parts of a network as well.
_WRAPPERS = ("_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")

_TRAINING_ONLY = re.compile(
    r"""(?:^|\.)(?:total_ops|total_params|n_averaged|num_updates)$   # thop's and weight averaging's counters
    |^(?:criteri(?:on|a)|loss\w*|\w+_loss|loss_fn|metrics?|\w+_metrics?|acc(?:uracy)?|\w+_acc(?:uracy)?|(?:train|val|valid|test)_\w+
       |data_preprocessor|ema\w*|\w+_ema|teacher\w*|optimizer\w*|scheduler\w*)(?:\.|$)""",
    re.VERBOSE,
)
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Fitted:
    """A state dict with the network's keys, as far as it goes.

    Attributes:
        state: the keys that were recognised have the network's names; the others their own.
        prefix: that came off.
        notes: what was left out or changed, one sentence each.
    """

    state: StateDict
    prefix: str
    notes: tuple[str, ...]


def fit_keys(state: StateDict, wanted: Collection[str], what: str = "the checkpoint") -> Fitted:
    """Gives the tensors the names that the network has for them.

    - `_orig_mod` (torch.compile) and `module` (DataParallel) come off wherever more keys fit without them.
    - The prefix under which most of the network's keys stand comes off: `model.` of Lightning, `backbone.` of mmengine and timm, any other.
    - `weight_orig` and `weight_mask` (torch.nn.utils.prune) become `weight`, their product.
    - Of a network and its averages, the network is taken (`averages.choose`), and that is said.
    - Where the network is complete, losses, metrics, averages, teachers and counters beside it are left out.

    Args:
        state: from the file.
        wanted: the network's keys.
        what: how errors call the file.

    Raises:
        ModelRefusedError: the whole network is there under several prefixes, and they do not say which one was trained.
    """
    wanted = set(wanted)
    notes: list[str] = []
    state = _without_wrappers(_prune(state, wanted, notes), wanted)
    prefix, averages = _prefix(state, wanted, what)
    if averages:
        notes.append(left_out_note(what, prefix, averages, _alone(averages[0])))
    if prefix:
        inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        outside = {key: value for key, value in state.items() if not key.startswith(prefix)}
        clash = inside.keys() & outside.keys()
        state = {**inside, **{(f"(outside) {key}" if key in clash else key): v for key, v in outside.items()}}
    missing = [key for key in wanted - state.keys() if not key.endswith(_COUNTER)]
    left = [
        key for key in state if key not in wanted and _TRAINING_ONLY.search(key.removeprefix("(outside) "))
    ]
    if left and not missing:
        state = {key: value for key, value in state.items() if key not in left}
        told = [
            key
            for key in left
            if key != "n_averaged" and not key.removeprefix("(outside) ").startswith(averages or ("\0",))
        ]
        if told:
            notes.append(f"left out of {what}, as it belongs to the training only: {shorten(told)}")
    return Fitted(state, prefix, tuple(notes))


def _prune(state: StateDict, wanted: Collection[str], notes: list[str]) -> StateDict:
    """Multiplies pruned tensors with their masks, where the network has them unpruned."""
    suffixes = ("_orig", "_mask")
    bases = [key.removesuffix("_orig") for key in state if key.endswith("_orig")]
    pruned = [
        base
        for base in bases
        if f"{base}_mask" in state
        and base not in state
        and not any(key.endswith(f"{base.rpartition('.')[2]}_orig") for key in wanted)
        and state[f"{base}_orig"].shape == state[f"{base}_mask"].shape
    ]
    if not pruned:
        return state
    product = {base: state[f"{base}_orig"] * state[f"{base}_mask"] for base in pruned}
    zeros = sum(int((state[f"{base}_mask"] == 0).sum()) for base in pruned)
    notes.append(
        f"pruning (weight_orig and weight_mask) was applied to {len(pruned)} tensors: {zeros} weights are 0"
    )
    gone = {f"{base}{suffix}" for base in pruned for suffix in suffixes}
    return {**{key: value for key, value in state.items() if key not in gone}, **product}


def _without_wrappers(state: StateDict, wanted: Collection[str]) -> StateDict:
    """Takes wrappers' names out of the middle of keys, each only where more keys fit then and no two become one."""
    for wrapper in _WRAPPERS:
        renamed = {key: ".".join(p for p in key.split(".") if p != wrapper) for key in state}
        if len(set(renamed.values())) == len(state) and _fitting(renamed.values(), wanted) > _fitting(
            state, wanted
        ):
            state = {renamed[key]: value for key, value in state.items()}
    return state


def _fitting(keys: Collection[str], wanted: Collection[str]) -> int:
    """How many keys fit under the best prefix."""
    counts = _prefixes(keys, wanted)
    return max(counts.values(), default=0)


def _prefixes(keys: Collection[str], wanted: Collection[str]) -> Counter[str]:
    """Per prefix, how many keys are it and one of the network's."""
    counts: Counter[str] = Counter()
    for key in keys:
        parts = key.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in wanted:
                counts[".".join(parts[:cut]) + "." if cut else ""] += 1
    return counts


def _prefix(state: StateDict, wanted: Collection[str], what: str) -> tuple[str, tuple[str, ...]]:
    """The prefix that comes off, and those under which averages of the network stand."""
    needed = [key for key in wanted if not key.endswith(_COUNTER)]
    counts = _prefixes(state, needed or wanted)
    if not counts:
        return "", ()
    most = max(counts.values())
    best = sorted((prefix for prefix, count in counts.items() if count == most), key=lambda p: (len(p), p))
    if len(best) == 1:
        return best[0], ()
    if most >= len(needed) > 1:
        chosen = choose(best)
        if chosen is not None:
            return chosen, tuple(prefix for prefix in best if prefix != chosen)
        if best[0] != "":
            raise ModelRefusedError(
                f"{what} holds this network {len(best)} times, under {shorten([repr(one) for one in best])}; save the one you mean alone: "
                f"{_alone(best[0])}"
            )
    distinct = [prefix for prefix in best if not _TRAINING_ONLY.search(prefix)]
    return distinct[0] if len(distinct) == 1 else best[0], ()


def _alone(prefix: str) -> str:
    return (
        f"torch.save({{k.removeprefix({prefix!r}): v for k, v in state_dict.items() if k.startswith({prefix!r})}}, "
        "'weights.pt')"
    )


def describe_fit(fitted: Fitted, wanted: Mapping[str, Tensor]) -> str:
    """How far the keys fit, for an error about the rest; empty where none does."""
    hits = len(fitted.state.keys() & wanted.keys())
    if not hits:
        return ""
    under = f", under the prefix '{fitted.prefix}'" if fitted.prefix else ""
    return f"{hits} of the network's {len(wanted)} tensors are there{under}"
