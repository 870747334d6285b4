"""The stages of an export: timed, told to whoever watches, kept for the report."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from fdabnn_deploy.system.memory import give_back


@dataclass(frozen=True)
class Stage:
    """One step: its name, what came of it, how long it took and, where it wrote or read a file, the bytes."""

    name: str
    detail: str
    seconds: float
    bytes: int | None = None


class Progress(Protocol):
    """Told of every stage; the command line prints it. Stages may run side by side, but it is called from one thread at a time."""

    def start(self, name: str, detail: str) -> None:
        """A stage begins."""

    def done(self, stage: Stage) -> None:
        """A stage of this name has ended well."""


class StoppedError(Exception):
    """Work was told to stop, because other work beside it failed or the user interrupted it."""


@dataclass
class OpenStage:
    """A stage that is running; what it sets here is what is reported."""

    detail: str
    bytes: int | None = None


class Stages:
    """Runs stages one after the other.

    Attributes:
        finished: the stages that ended well, in order.
    """

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.finished: list[Stage] = []

    @contextmanager
    def run(self, name: str, detail: str = "") -> Iterator[OpenStage]:
        """Times the block; an exception passes through and the stage does not count as done.

        Raises:
            StoppedError: `stop` was called.
        """
        self.check()
        if self._progress is not None:
            with self._lock:
                self._progress.start(name, detail)
        stage = OpenStage(detail)
        begin = time.perf_counter()
        yield stage
        # Long work leaves gigabytes behind, and the next stage may run beside other work.
        give_back()
        done = Stage(name, stage.detail, time.perf_counter() - begin, stage.bytes)
        self.finished.append(done)
        if self._progress is not None:
            with self._lock:
                self._progress.done(done)

    def branch(self) -> Stages:
        """Stages that run beside others: told to the same progress, kept in a list of their own, stopped together with these."""
        branch = Stages(self._progress)
        branch._lock, branch._stopped = self._lock, self._stopped
        return branch

    def stop(self) -> None:
        """Lets no further stage begin, here or in a branch."""
        self._stopped.set()

    def check(self) -> None:
        """Where long work may end before its time.

        Raises:
            StoppedError: `stop` was called.
        """
        if self._stopped.is_set():
            raise StoppedError
