"""How the command line tools print, and how they end: stage lines, tables, one line per error, exit codes."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.status import Status
from rich.text import Text

from fdabnn_deploy.cli.escaping import EscapingHook, escape_name, escape_text
from fdabnn_deploy.cli.signals import Stopped, stopped_by_signals
from fdabnn_deploy.errors import FdabnnError, UsageError
from fdabnn_deploy.system.files import is_standard_output
from fdabnn_deploy.system.progress import Stage

PIPE_WIDTH = 120
MAX_WIDTH = 120
INTERRUPTED = 130
_BUG = 1
_NAME_WIDTH, _BYTES_WIDTH, _SECONDS_WIDTH = 11, 9, 9
_GAP = 2
_MIN_WRAP = 30


def make_console(*, stderr: bool = False) -> Console:
    """A console of the terminal's width, at most `MAX_WIDTH`; in a pipe plain text of `PIPE_WIDTH`."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    console.width = min(console.width, MAX_WIDTH) if console.is_terminal else PIPE_WIDTH
    console.push_render_hook(EscapingHook())
    return console


def console_for(*outputs: Path | None) -> Console:
    """The console of a command that also writes files: on stderr where one of them goes to the standard output, to be alone there."""
    return make_console(stderr=any(path is not None and is_standard_output(path) for path in outputs))


class StagePrinter:
    """Prints a line per finished stage; on a terminal a spinner shows the one that runs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def start(self, name: str, detail: str) -> None:
        """Shows the spinner."""
        if self._console.is_terminal:
            self.stop()
            self._status = self._console.status(
                Text(f"{name:<{_NAME_WIDTH}}{escape_name(detail)}"), spinner="dots"
            )
            self._status.start()

    def done(self, stage: Stage) -> None:
        """Replaces the spinner by the finished line."""
        self.stop()
        size = format_bytes(stage.bytes) if stage.bytes is not None else ""
        room = self._console.width - 2 - _NAME_WIDTH - _BYTES_WIDTH - _SECONDS_WIDTH
        detail = escape_name(stage.detail)
        detail = detail if len(detail) <= room else detail[: room - 1] + "…"
        line = Text("  ")
        line.append(f"{stage.name:<{_NAME_WIDTH}}", "bold")
        line.append(f"{detail:<{room}}")
        line.append(f"{size:>{_BYTES_WIDTH}}", "dim")
        line.append(f"{stage.seconds:>{_SECONDS_WIDTH - 2}.2f} s")
        self._console.print(line, no_wrap=True)

    def stop(self) -> None:
        """Takes the spinner away."""
        if self._status is not None:
            self._status.stop()
            self._status = None


def print_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    right: Sequence[int] = (),
) -> None:
    """Prints a table without lines, after an empty line; nothing is cut off and no line ends in spaces.

    Args:
        console: where to.
        title: its heading.
        columns: their headings; a heading line of nothing is left out.
        rows: the cells. The last column is wrapped where the line gets too long.
        right: columns aligned right.
    """
    cells = [[cell if isinstance(cell, Text) else Text(escape_name(cell)) for cell in row] for row in rows]
    heads = [Text(column, "dim") for column in columns]
    lines = [heads, *cells] if any(columns) else cells
    last = len(columns) - 1
    widths = [max((line[i].cell_len for line in lines), default=0) for i in range(len(columns))]
    used = [i for i in range(len(columns)) if widths[i]]
    indent = 2 + sum(widths[i] + _GAP for i in used if i != last)
    room = max(console.width - indent, _MIN_WRAP)
    console.print()
    console.print(Text(title, "bold"), soft_wrap=True)
    for line in lines:
        text = Text("  ")
        for i in used:
            pad = Text(" " * (widths[i] - line[i].cell_len))
            if i == last and i not in right:
                wrapped = line[i].wrap(console, room)
                for n, part in enumerate(wrapped):
                    text.append_text(Text("\n" + " " * indent) if n else Text())
                    text.append_text(part)
            else:
                text.append_text(pad + line[i] if i in right else line[i] + pad)
                text.append(" " * _GAP)
        text.rstrip()
        console.print(text, soft_wrap=True)


def mark(passed: bool) -> Text:
    """A tick or a cross, where the terminal has them."""
    fancy = (sys.stdout.encoding or "").lower().startswith("utf")
    if passed:
        return Text("✓" if fancy else "ok", "green")
    return Text("✗" if fancy else "FAILED", "bold red")


def format_bytes(count: int) -> str:
    """Bytes in decimal units: `812 B`, `72.3 kB`, `1.08 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:#.3g} {unit}".replace(". ", " ")
    return f"{count} B"


def format_number(value: float) -> str:
    """A count or a difference, short: `0`, `812`, `1.2e+06`, `3.1e-05`, `NaN` where a NaN met a number."""
    if value == float("inf"):
        return "NaN"
    if value == int(value) and value < 1e6:
        return f"{int(value)}"
    return f"{value:.1e}" if value < 1e-3 or value >= 1e6 else f"{value:.3g}"


def format_share(share: float) -> str:
    """A share in percent; 100 % is said only of all."""
    text = f"{share:.2%}"
    return f"{text[:-1]} %" if share < 1 else "100 %"


def quiet_libraries() -> None:
    """Keeps the start-up notes and warnings of PyTorch, TensorFlow and ONNX out of the output."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


def run_command(command: click.Command, name: str, args: Sequence[str] | None) -> int:
    """Runs a click command; every way it can end becomes an exit code and at most one message.

    | code | after                                             |
    |------|---------------------------------------------------|
    | 0    | success, `--help`, `--version`                    |
    | 2    | a usage error, click's own included               |
    | 1    | an exception that is none of ours: a bug          |
    | 130  | Ctrl-C                                            |
    | 143  | SIGTERM                                           |
    | 129  | SIGHUP                                            |
    | else | `FdabnnError.exit_code`                           |
    """
    arguments = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in arguments
    errors = make_console(stderr=True)
    quiet_libraries()
    try:
        # Not command.main: it would end the process by itself when the reader of a pipe goes away.
        with stopped_by_signals(), command.make_context(name, arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        message = " ".join(error.format_message().split())
        return _fail(errors, f"{name}: {message} (see {name} --help)", UsageError.exit_code)
    except Stopped as error:
        return _fail(errors, f"{name}: stopped by {signal.Signals(error.number).name}", 128 + error.number)
    except (click.Abort, KeyboardInterrupt):
        return _fail(errors, f"{name}: stopped", INTERRUPTED)
    except FdabnnError as error:
        if debug:
            errors.print(traceback.format_exc(), soft_wrap=True)
        return _fail(errors, f"{name}: {error}", error.exit_code)
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  (the last resort: whatever it is, the user gets no traceback)
        if debug:
            errors.print(traceback.format_exc(), soft_wrap=True)
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        advice = (
            "please report it with the traceback above"
            if debug
            else "add --debug and please report the traceback"
        )
        return _fail(
            errors, f"{name}: this is a bug in {name}, not a mistake of yours: {reason}; {advice}", _BUG
        )
    return 0


def _fail(errors: Console, message: str, code: int) -> int:
    # The terminal may be gone, which is one of the reasons to end.
    with contextlib.suppress(OSError):
        errors.print(Text(escape_text(message), "red"), soft_wrap=True)
    return code


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
