"""Captures what native code writes to standard error: TensorFlow's start-up notes, and the reasons of LCE's refusals."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_ONE_THREAD = threading.RLock()


class NativeLog:
    """The captured text, available after the block."""

    text: str = ""


@contextmanager
def native_stderr() -> Iterator[NativeLog]:
    """Keeps what native code writes to file descriptor 2 of this process from the terminal.

    Python's own `sys.stderr` still reaches it, also from other threads.
    """
    # The descriptor is the process's: a second thread waits, or the two would give back each other's.
    with _ONE_THREAD:
        log, python_stderr = NativeLog(), sys.stderr
        python_stderr.flush()
        yield from _redirected(log, python_stderr)


def _redirected(log: NativeLog, python_stderr: TextIO) -> Iterator[NativeLog]:
    with tempfile.TemporaryFile() as file, os.fdopen(os.dup(2), "w", buffering=1) as terminal:
        redirected = python_stderr is sys.__stderr__
        os.dup2(file.fileno(), 2)
        if redirected:
            sys.stderr = terminal
        try:
            yield log
        finally:
            if redirected:
                sys.stderr = python_stderr
            os.dup2(terminal.fileno(), 2)
            file.seek(0)
            log.text = file.read().decode("utf-8", "replace")
