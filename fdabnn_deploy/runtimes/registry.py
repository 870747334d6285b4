"""The runtimes by name and by the suffix of the files they open: those that targets register, and the emulator.

Their modules are imported when one is asked for.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.runtimes.base import Runtime
from fdabnn_deploy.system.plugins import resolve
from fdabnn_deploy.targets import installed as targets
from fdabnn_deploy.targets.target import RuntimeEntry, Target

_EMULATOR = RuntimeEntry(
    "qemu-aarch64", "qemu-aarch64", "fdabnn_deploy.runtimes.emulator.qemu_aarch64:QemuRuntime", "named"
)
"""Runs the default runtimes of the targets that devices know, on another processor: it belongs to none of them."""


def names() -> list[str]:
    """The names of all runtimes, sorted."""
    return sorted(_entries())


def titles() -> dict[str, str]:
    """How tables call the runtimes, by name."""
    return {name: entry.title for name, (entry, _) in _entries().items()}


def get(name: str) -> Runtime:
    """The runtime of this name.

    Raises:
        UsageError: there is none.
        RuntimeMissingError: a package that its module imports is not installed.
    """
    entries = _entries()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise UsageError(f"unknown runtime '{name}': {hint}known: {', '.join(names())}")
    entry, target = entries[name]
    made = resolve(entry.runtime, f"runtime '{name}'", *([] if target is None else [target.install]))
    runtime: Runtime = made()
    return runtime


def for_file(path: Path) -> Runtime:
    """The runtime that opens files with this path's suffix by default.

    Raises:
        UsageError: no runtime does.
        RuntimeMissingError: a package that its module imports is not installed.
    """
    target = targets.for_suffix(path)
    if target is None:
        known = ", ".join(targets.suffixes())
        wrong = "".join(f"; {reason}" for reason in targets.unusable().values())
        raise UsageError(
            f"{path}: no runtime opens files that end in '{path.suffix}': known: {known or 'none'}{wrong}"
        )
    return get(target.default_runtime.name)


def further(path: Path) -> list[str]:
    """The names of runtimes, installed or not, that check files with this path's suffix after the one of `for_file`."""
    target = targets.for_suffix(path)
    return [] if target is None else [entry.name for entry in target.verifying[1:]]


def _entries() -> dict[str, tuple[RuntimeEntry, Target | None]]:
    found: dict[str, tuple[RuntimeEntry, Target | None]] = {_EMULATOR.name: (_EMULATOR, None)}
    for target in targets.registered():
        found.update((entry.name, (entry, target)) for entry in target.runtimes)
    return found
