"""Options that several tools have: files, how to read a checkpoint, and which inputs it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.system.memory import parse_memory


class MemorySize(click.ParamType[Any]):
    """A size of memory: `8G`, `500M`, or bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The bytes."""
        try:
            return value if isinstance(value, int) else parse_memory(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Numbers(click.ParamType[Any]):
    """Numbers separated by commas (or by x, for shapes)."""

    def __init__(self, kind: type[int | float], what: str, count: int | None = None) -> None:
        self.kind = kind
        self.name = what
        self.count = count

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Splits the text."""
        if isinstance(value, tuple):
            return value
        text = str(value).replace("x", ",") if self.kind is int else str(value)
        try:
            numbers = tuple(self.kind(part) for part in text.split(","))
        except ValueError:
            self.fail(f"'{value}' is not {self.name}", param, ctx)
        wrong_count = self.count is not None and len(numbers) != self.count
        if wrong_count or not all(math.isfinite(number) for number in numbers):
            self.fail(f"'{value}' is not {self.name}", param, ctx)
        return numbers


def file_option(*names: str, text: str, metavar: str = "PATH", **settings: Any) -> Callable[..., Any]:
    """An option that names a file, with its help; further settings are those of `click.Path`."""
    return click.option(*names, type=click.Path(path_type=Path, **settings), metavar=metavar, help=text)


debug_option = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
version_option = click.version_option(package_name="fdabnn-deploy", message="%(prog)s %(version)s")


_OPTIONS = (
    click.option("--arch", metavar="NAME", help="Architecture of a bare state_dict, for example resnet20."),
    click.option("--model", metavar="P:F", help="Your own network: package.module:factory. Its code runs."),
    click.option("--arch-arg", "arch_args", metavar="K=V", multiple=True,
                 help="Argument of the architecture or factory."),
    click.option("--drop-noise", is_flag=True, help="Accept alpha other than 0: set it to 0."),
    click.option("--input-shape", type=Numbers(int, "a shape such as 3,32,32"), metavar="C,H,W",
                 help="Of one image, where the checkpoint does not say it."),
    click.option("--mean", type=Numbers(float, "numbers such as 0.49,0.48,0.45"), metavar="M,..",
                 help="Mean per channel, of pixels 0..1, where the checkpoint does not say it."),
    click.option("--std", type=Numbers(float, "numbers such as 0.25,0.24,0.26"), metavar="S,..",
                 help="Likewise."),
    click.option("--input-range", type=Numbers(float, "two numbers such as -2,2", 2), metavar="LO,HI",
                 help="Smallest and largest normalised input value."),
    click.option("--memory-limit", type=MemorySize(), metavar="SIZE",
                 help="What compressed files and images may expand to, such as 8G.  [default: 4G]"),
    debug_option,
)  # fmt: skip
NAMES = (
    "arch",
    "model",
    "arch_args",
    "drop_noise",
    "input_shape",
    "mean",
    "std",
    "input_range",
    "memory_limit",
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options to a command; `reading_arguments` takes them out of its keywords again."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def reading_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `fdabnn_deploy.frontend.checkpoint.read`.

    Raises:
        UsageError: an `--arch-arg` is not K=V.
    """
    arguments = {name: options[name] for name in NAMES}
    if arguments["arch_args"]:
        from fdabnn_deploy.frontend.checkpoint import parse_arch_args

        arguments["arch_args"] = parse_arch_args(arguments["arch_args"])
    else:
        arguments["arch_args"] = None
    return arguments


def samples_path(samples: str | None) -> Path | None:
    """The file or folder that `--samples` or `--inputs` names, without `:N` or `:all`; None for the default and random inputs."""
    if samples is None or samples.startswith("random:"):
        return None
    path, colon, count = samples.rpartition(":")
    return Path(path if colon and (count == "all" or count.isdecimal()) else samples)


def as_typed(options: dict[str, Any]) -> str:
    """The options as they were typed, for the commands that the tool suggests."""
    parts = []
    for name in NAMES:
        value = options[name]
        flag = "--arch-arg" if name == "arch_args" else f"--{name.replace('_', '-')}"
        if value is True:
            parts.append(flag)
        elif name == "arch_args":
            parts += [f"{flag} {pair}" for pair in value]
        elif isinstance(value, tuple):
            joined = ",".join(f"{number:g}" for number in value)
            # A leading minus would read as an option.
            parts.append(f"{flag}={joined}")
        elif value:
            parts.append(f"{flag} {value}")
    return "".join(f" {part}" for part in parts)
