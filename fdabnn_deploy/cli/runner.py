"""`fdabnn-runner`: the native program of docs/runner.md, with the libraries of this installation.

The program itself looks for libraries beside it and where the system's loader looks; those of Python packages are in neither place. This
names them to it, and becomes it: arguments, output, signals and exit codes are the program's own.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fdabnn_deploy import native
from fdabnn_deploy.cli.escaping import escape_text
from fdabnn_deploy.errors import FdabnnError, RuntimeMissingError
from fdabnn_deploy.measure.devices import libraries
from fdabnn_deploy.measure.devices.device import known_machine
from fdabnn_deploy.verify.capsule import read_capsule

NAME = "fdabnn-runner"
WITH_VALUE = frozenset(
    f"--{name}"
    for name in (
        *("runtime", "delegate", "threads", "cpus", "warmup", "runs"),
        *("seconds", "xnnpack", "inputs", "selftest", "outputs", "json"),
    )
)
"""The options of the program that take a value, as the next argument or behind `=`."""
_ENDS = frozenset({"--help", "-h", "--version"})


@dataclass
class _Given:
    """The arguments that decide which libraries are needed.

    Attributes:
        options: the last value of every option in `WITH_VALUE` that was given.
        model: the first argument that is none; None where there is none.
        ends: whether the program only says something about itself.
    """

    options: dict[str, str] = field(default_factory=dict)
    model: str | None = None
    ends: bool = False


def _read(args: Sequence[str]) -> _Given:
    """Reads the arguments as the program does, which refuses the wrong ones itself."""
    given = _Given()
    words = iter(args)
    for word in words:
        name, equals, value = word.partition("=")
        if word == "--":
            given.model = given.model or next(words, None)
            break
        if name in WITH_VALUE:
            given.options[name] = value if equals else next(words, "")
        elif word in _ENDS:
            given.ends = True
        elif not (word.startswith("-") and len(word) > 1):
            given.model = given.model or word
    return given


def _suffix(given: _Given) -> str | None:
    """Of the model's file, or of the capsule's model; None where the program will refuse it."""
    if given.model is not None:
        suffix = Path(given.model).suffix
    else:
        try:
            suffix = f".{read_capsule(Path(given.options.get('--selftest', ''))).target}"
        except FdabnnError:
            return None
    return suffix if suffix in libraries.runtimes() else None


def command(args: Sequence[str]) -> list[str]:
    """The program and its arguments: those given, behind `--runtime` and `--delegate` where these are not among them.

    Raises:
        RuntimeMissingError: this installation has no such program, or not the runtime that the model needs.
    """
    given = _read(args)
    runner = native.runner_path()
    suffix = None if given.ends else _suffix(given)
    if suffix is None:
        return [runner, *args]
    named = []
    if "--runtime" not in given.options:
        machine = known_machine(platform.machine().lower(), "this machine")
        try:
            runtime = libraries.find(machine, suffix, lambda _: None).runtime
        except RuntimeMissingError as error:
            raise RuntimeMissingError(f"{error}; or name the library by --runtime") from None
        named += ["--runtime", str(runtime)]
    if "--delegate" not in given.options:
        named += ["--delegate", native.delegate_path()]
    return [runner, *named, *args]


def main(args: Sequence[str] | None = None) -> int:
    """Entry point: this process becomes the program. Returns an exit code only where it cannot be started."""
    try:
        argv = command(sys.argv[1:] if args is None else args)
        try:
            os.execv(argv[0], argv)  # noqa: S606 - the installation's own program, without a shell
        except OSError as error:
            raise RuntimeMissingError(
                f"cannot start {argv[0]} ({error.strerror}): install the package again, where programs may be run"
            ) from None
    except FdabnnError as error:
        print(f"{NAME}: {escape_text(str(error))}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
