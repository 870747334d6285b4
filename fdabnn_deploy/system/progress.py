"""The stages of an export: timed, told to whoever watches, kept for the report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Stage:
    """One step: its name, what came of it, how long it took and, where it wrote or read a file, the bytes."""

    name: str
    detail: str
    seconds: float
    bytes: int | None = None


class Progress(Protocol):
    """Told of every stage; the command line prints it."""

    def start(self, name: str, detail: str) -> None:
        """A stage begins."""

    def done(self, stage: Stage) -> None:
        """The stage that began last has ended well."""


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
        self.finished: list[Stage] = []

    @contextmanager
    def run(self, name: str, detail: str = "") -> Iterator[OpenStage]:
        """Times the block; an exception passes through and the stage does not count as done."""
        if self._progress is not None:
            self._progress.start(name, detail)
        stage = OpenStage(detail)
        begin = time.perf_counter()
        yield stage
        done = Stage(name, stage.detail, time.perf_counter() - begin, stage.bytes)
        self.finished.append(done)
        if self._progress is not None:
            self._progress.done(done)
