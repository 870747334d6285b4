"""Starting a run from the weights of a file, as far as they fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.frontend.checkpoint.safe_load import load_file
from fdabnn_deploy.frontend.checkpoint.unwrap import find_state_dict, shorten

# Prefixes that training wrappers put before every name.
_PREFIXES = ("module.", "_orig_mod.", "model.")


@dataclass(frozen=True)
class Initialised:
    """The result of an initialisation: names copied, absent from the file, of another shape, and in the file alone."""

    copied: tuple[str, ...]
    absent: tuple[str, ...]
    misshapen: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For people, one line per kind that there is."""
        kinds = (
            ("not in the file, so as made", self.absent),
            ("of another shape, so as made", self.misshapen),
            ("only in the file", self.unused),
        )
        told = [f"  {what} ({len(names)}): {shorten(names)}" for what, names in kinds if names]
        return [f"--init gave {len(self.copied)} tensors", *(f"  {note}" for note in self.notes), *told]


def initialise(module: nn.Module, path: Path) -> Initialised:
    """Copy the tensors of a checkpoint whose names and shapes fit; the buffers of the schedule stay.

    Raises:
        UsageError: nothing in the file fits.
        ModelRefusedError: the file is damaged or is no checkpoint.
    """
    found = find_state_dict(load_file(path).content, str(path))
    state = found.state
    target = module.state_dict()
    for prefix in _PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    wanted = [name for name in target if not name.endswith((".alpha", ".n"))]
    copied = tuple(name for name in wanted if name in state and state[name].shape == target[name].shape)
    if not any(target[name].ndim > 1 for name in copied):
        raise UsageError(
            f"--init {path}: no weight of it fits the network; it has {shorten(sorted(state))}, wanted are {shorten(sorted(wanted))}"
        )
    module.load_state_dict({name: state[name] for name in copied}, strict=False)
    return Initialised(
        copied=copied,
        absent=tuple(
            name for name in wanted if name not in state and not name.endswith("num_batches_tracked")
        ),
        misshapen=tuple(name for name in wanted if name in state and name not in copied),
        unused=tuple(name for name in state if name not in target),
        notes=found.notes,
    )
