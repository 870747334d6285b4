"""The targets of an export, and what each needs before the work begins: a prover for exact numerics, a writer, a runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.pipeline.report import AbsentRuntime
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Runtime
from fdabnn_deploy.system import choices
from fdabnn_deploy.targets import installed as targets
from fdabnn_deploy.targets.converter import Constants, ConvertOptions, Kernels, Via
from fdabnn_deploy.targets.installed import DEFAULT
from fdabnn_deploy.targets.target import Target


def find_targets(asked: str | Iterable[str]) -> list[Target]:
    """The targets of these names, `all` standing for `DEFAULT`.

    Raises:
        UsageError: there is none of a name, or no name.
        RuntimeMissingError: a registration needs a package that is not installed.
    """
    names = [
        name
        for target in choices.names(asked, "targets")
        for name in (DEFAULT if target == "all" else [target])
    ]
    if not names:
        raise UsageError(f"no target: give one of {', '.join(targets.targets())}, or all")
    return [targets.find_target(name) for name in dict.fromkeys(names)]


def check_kernels(kernels: Kernels, chosen: Sequence[Target]) -> None:
    """Refuses kernels that no chosen target has a choice of.

    Raises:
        UsageError: see there.
    """
    if kernels == "standard" or any(kernels in target.kernels for target in chosen):
        return
    having = [target for target in targets.registered() if kernels in target.kernels]
    raise UsageError(
        f"{kernels} kernels are a choice for {' and '.join(target.title for target in having)} files: add the target "
        f"{' or '.join(target.name for target in having)}, or leave it out"
    )


def check_via(via: Via, chosen: Sequence[Target]) -> None:
    """Refuses another writer than a target's own where no chosen target has one, or its packages are not installed.

    Raises:
        UsageError: no chosen target has one.
        RuntimeMissingError: a package is not installed.
    """
    if via == "own":
        return
    able = [target for target in chosen if via in target.via]
    for target in able:
        if target.via_needs is not None:
            target.load(target.via_needs)()
    if not able:
        having = [target for target in targets.registered() if via in target.via]
        raise UsageError(
            f"--via {via} is a choice for {' and '.join(target.title for target in having)} files: add the target "
            f"{' or '.join(target.name for target in having)}, or leave it out"
        )


def check_capsule(chosen: Sequence[Target]) -> None:
    """Refuses a capsule where no chosen target has files for devices.

    Raises:
        UsageError: see there.
    """
    if all(target.device is None for target in chosen):
        having = [target for target in targets.registered() if target.device is not None]
        raise UsageError(
            f"a capsule is made of {' or '.join(target.title for target in having)} files: add one of the targets "
            f"{', '.join(target.name for target in having)}"
        )


def options_for(
    target: Target, batch: int | None, kernels: Kernels, via: Via, constants: Constants
) -> ConvertOptions:
    """The user's options, as far as the target has them."""
    return ConvertOptions(
        batch,
        kernels if kernels in target.kernels else "standard",
        via if via in target.via else "own",
        constants,
    )


def check_target(target: Target, *, exact: bool) -> None:
    """Before any work: whether the target's files can be written and verified on this machine.

    Raises:
        ModelRefusedError: with exact numerics, the target has no prover.
        RuntimeMissingError: what it writes with, its default runtime or a package of its prover is not installed.
    """
    if exact and target.reader is None:
        raise ModelRefusedError(
            f"target '{target.name}' has no prover: exact numerics promise equal bits, which nobody can prove of its "
            f"{target.title} files; export them with --numerics float, which promises none, or choose {' or '.join(DEFAULT)}"
        )
    target.converter()
    if exact and target.reader is not None:
        target.load(target.reader)
    installed_runtimes(target)


def installed_runtimes(target: Target) -> tuple[tuple[Runtime, ...], tuple[AbsentRuntime, ...]]:
    """The runtimes that the target's files are verified on, and the optional ones that are not installed.

    Raises:
        RuntimeMissingError: the default one is not installed.
    """
    present, absent = [], []
    for entry in target.verifying:
        try:
            runtime = registry.get(entry.name)
            runtime.version()
        except RuntimeMissingError as error:
            if entry is target.default_runtime:
                raise
            absent.append(AbsentRuntime(entry.name, target.name, str(error)))
        else:
            present.append(runtime)
    return tuple(present), tuple(absent)
