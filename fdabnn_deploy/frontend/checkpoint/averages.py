"""The same network several times in one file: as it was trained, and as moving averages and teachers of it.

The network that was trained is taken, where the names say which one that is, and what was left out is told; else the user has to choose.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

TRAINED_NAMES = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
    "student",
)
"""Names that training scripts give the network that they train, beside optimizer states and averages."""
_AVERAGES = frozenset(("ema", "swa", "avg", "average", "averages", "averaged", "teacher"))


def is_average(name: str, separator: str = ".") -> bool:
    """Whether a path of names, such as `ema_model.` or `model_ema/module`, says so of itself.

    Args:
        name: the path.
        separator: between its parts.
    """
    return any(_AVERAGES & set(_words(part)) for part in name.split(separator))


def choose(names: Sequence[str], separator: str = ".") -> str | None:
    """The one of the names that is the trained network's; None where they do not say.

    All the others are averages, and it is a usual name, or that of an average but for the mark: `encoder` beside `ema_encoder`, not
    `online_model` beside `ema_model`. A name without any part is the file itself.

    Args:
        names: paths, each of the whole network.
        separator: between their parts.
    """
    trained = [name for name in names if not is_average(name, separator)]
    if len(trained) != 1:
        return None
    parts = [part for part in trained[0].split(separator) if part]
    if not parts or set(parts) & set(TRAINED_NAMES):
        return trained[0]
    unmarked = [
        [word for word in _words(name) if word not in _AVERAGES] for name in names if name != trained[0]
    ]
    return trained[0] if _words(trained[0]) in unmarked else None


def left_out_note(what: str, taken: str, left: Sequence[str], how: str) -> str:
    """The sentence on what was taken and how to take the other.

    Args:
        what: how notes call the file.
        taken: the name of the network that was trained.
        left: those of the others.
        how: code that saves the first of them alone.
    """
    where = f"the one under {taken!r}" if taken else "the one without a prefix"
    return (
        f"{what} holds the network {1 + len(left)} times: {where} was taken, as it is the one that was trained; "
        f"{', '.join(map(repr, left))} {'was' if len(left) == 1 else 'were'} left out; to choose {'it' if len(left) == 1 else 'one'}, "
        f"save it alone: {how}"
    )


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", name.lower())
