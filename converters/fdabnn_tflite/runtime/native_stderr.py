"""Captures what native code writes to standard error: TensorFlow's start-up notes, and the reasons of LCE's refusals."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class NativeLog:
    """The captured text, available after the block."""

    text: str = ""


@contextmanager
def native_stderr() -> Iterator[NativeLog]:
    """Keeps what native code writes to file descriptor 2 of this process from the terminal.

    Python's own `sys.stderr` still reaches it, also from other threads.
    """
    log, python_stderr = NativeLog(), sys.stderr
    python_stderr.flush()
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
