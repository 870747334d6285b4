"""Progress on each device: on a terminal a line that changes, elsewhere nothing until a device fails."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from fdabnn_deploy.cli.escaping import escape_name


class DeviceProgress:
    """Meets `fdabnn_deploy.measure.profiles.profile.Progress`; a context manager.

    Args:
        console: to show it on.
    """

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[what]}", style="dim"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def tell(self, device: str, what: str) -> None:
        """Shows what a device does now."""
        if device not in self._tasks:
            self._tasks[device] = self._progress.add_task(
                escape(escape_name(device)), total=None, what=escape(escape_name(what))
            )
        self._progress.update(self._tasks[device], what=escape(escape_name(what)))

    def done(self, device: str, failure: str) -> None:
        """Stops the device's clock."""
        if device not in self._tasks:
            self.tell(device, "")
        self._progress.update(self._tasks[device], total=1, completed=1, what="failed" if failure else "done")
