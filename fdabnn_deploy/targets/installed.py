"""The installed targets, found through an entry point group: by name, and by the suffix of a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.system import plugins
from fdabnn_deploy.targets.converter import Converter
from fdabnn_deploy.targets.target import Target

GROUP = "fdabnn_deploy.converters"

DEFAULT = ("onnx", "tflite")
"""The targets of `--target all`. Others are named."""


def targets() -> list[str]:
    """The names of all installed targets, sorted."""
    return plugins.names(GROUP)


def find_target(name: str) -> Target:
    """The target of this name.

    Raises:
        UsageError: there is none, or what is installed under this name is no target, or is at odds with another one.
        RuntimeMissingError: its registration needs a package that is not installed.
    """
    found = plugins.load(GROUP, name, "target")
    if not isinstance(found, Target):
        raise UsageError(
            f"target '{name}' is registered as {type(found).__name__}, not as fdabnn_deploy.targets.target.Target: "
            "install a version of its package that is made for this one"
        )
    if found.name != name:
        raise UsageError(f"target '{name}' calls itself '{found.name}': its package has to use one name")
    for other in registered():
        _check_apart(found, other)
    return found


def find_converter(target: str) -> Converter:
    """What writes the files of a target; see `find_target` and `Target.converter` for the errors."""
    return find_target(target).converter()


@cache
def registered() -> tuple[Target, ...]:
    """All installed targets, those of `DEFAULT` first.

    One whose registration cannot be loaded is left out: it does not keep the others from working, and `find_target` says what is wrong.
    Where two claim the same suffix or the same name of a runtime, the first keeps it.
    """
    found: list[Target] = []
    for name in sorted(targets(), key=lambda name: (name not in DEFAULT, name)):
        try:
            target = plugins.load(GROUP, name, "target")
            if isinstance(target, Target) and target.name == name:
                for other in found:
                    _check_apart(target, other)
                found.append(target)
        except Exception:  # noqa: BLE001, S112 - the code of another distribution
            continue
    return tuple(found)


def for_suffix(path: Path) -> Target | None:
    """The target whose files end as this path does, None where there is none."""
    return next((target for target in registered() if target.suffix == path.suffix.lower()), None)


def suffixes() -> Iterator[str]:
    """How the files of the installed targets end."""
    return (target.suffix for target in registered())


def in_order_for_capsules() -> list[Target]:
    """The targets of whose files capsules are made, those with packed signs to check first."""
    return sorted((t for t in registered() if t.device is not None), key=lambda t: not t.packed_signs)


def _check_apart(target: Target, other: Target) -> None:
    """Raises UsageError where two targets claim the same."""
    if target.name == other.name:
        return
    shared = {entry.name for entry in target.runtimes} & {entry.name for entry in other.runtimes}
    if target.suffix == other.suffix:
        shared.add(target.suffix)
    if shared:
        raise UsageError(
            f"targets '{target.name}' and '{other.name}' both claim {', '.join(sorted(shared))}: uninstall one of them"
        )
