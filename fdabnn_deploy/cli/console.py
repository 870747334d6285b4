"""How the command line tools print: stage lines, tables, numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rich.text import Text

from fdabnn_deploy.cli.escaping import EscapingHook, escape_name
from fdabnn_deploy.system.files import is_standard_output
from fdabnn_deploy.system.progress import Stage

PIPE_WIDTH = 120
MAX_WIDTH = 120
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
        self._running: list[tuple[str, str]] = []

    def start(self, name: str, detail: str) -> None:
        """Shows the spinner."""
        self._running.append((name, detail))
        self._spin()

    def _spin(self) -> None:
        """Shows the stage that began last of those that run."""
        self._pause()
        if self._console.is_terminal and self._running:
            name, detail = self._running[-1]
            self._status = self._console.status(
                Text(f"{name:<{_NAME_WIDTH}}{escape_name(detail)}"), spinner="dots"
            )
            self._status.start()

    def done(self, stage: Stage) -> None:
        """Prints the finished line; the spinner goes on with what runs beside it."""
        self._pause()
        # Of two stages of one name it does not matter which goes.
        names = [name for name, _ in self._running]
        if stage.name in names:
            del self._running[names.index(stage.name)]
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
        self._spin()

    def stop(self) -> None:
        """Takes the spinner away, for good."""
        self._running.clear()
        self._pause()

    def _pause(self) -> None:
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
