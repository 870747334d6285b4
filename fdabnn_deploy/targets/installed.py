"""The installed targets, found through an entry point group: by name, and by the suffix of a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fdabnn_deploy.errors import FdabnnError, UsageError
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
    found = _load(name)
    for other in registered():
        _check_apart(found, other)
    return found


def find_converter(target: str) -> Converter:
    """The converter of a target; see `find_target` and `Target.converter` for the errors."""
    return find_target(target).converter()


def registered() -> tuple[Target, ...]:
    """All installed targets, those of `DEFAULT` first.

    One that cannot be used is left out: it does not keep the others from working. `unusable` and `find_target` say what is wrong.
    Where two claim the same suffix or the same name of a runtime, the first keeps it.
    """
    return _load_all()[0]


def unusable() -> dict[str, str]:
    """Why installed targets are left out of `registered`, by their names."""
    return _load_all()[1]


@cache
def _load_all() -> tuple[tuple[Target, ...], dict[str, str]]:
    found: list[Target] = []
    wrong: dict[str, str] = {}
    for name in sorted(targets(), key=lambda name: (name not in DEFAULT, name)):
        try:
            target = _load(name)
            for other in found:
                _check_apart(target, other)
        except FdabnnError as error:
            wrong[name] = str(error)
        except Exception as error:  # noqa: BLE001 - the code of another distribution
            wrong[name] = f"target '{name}' cannot be loaded: {type(error).__name__}: {error}"
        else:
            found.append(target)
    return tuple(found), wrong


def _load(name: str) -> Target:
    """A registration; see `find_target` for the errors."""
    found = plugins.load(GROUP, name, "target")
    if not isinstance(found, Target):
        raise UsageError(
            f"target '{name}' is registered as {type(found).__name__}, not as fdabnn_deploy.targets.target.Target: "
            "install a version of its package that is made for this one"
        )
    if found.name != name:
        raise UsageError(f"target '{name}' calls itself '{found.name}': its package has to use one name")
    return found


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
