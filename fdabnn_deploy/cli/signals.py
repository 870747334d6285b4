"""SIGTERM and SIGHUP end a command as Ctrl-C does: through its `finally` blocks, so that nothing stays behind."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_REPEATED_SECONDS = 5.0
"""A terminal that closes sends SIGHUP more than once; what comes again so soon does not interrupt the cleaning up."""


class Stopped(KeyboardInterrupt):
    """A signal has asked the command to end.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """While it is open, the signals raise `Stopped`; one that is ignored, as under nohup, stays so. For the main thread only.

    Raises:
        Stopped: one came.
    """
    last = -_REPEATED_SECONDS

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        del frame
        before, last = last, time.monotonic()
        if last - before >= _REPEATED_SECONDS:
            raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {
        number: signal.signal(number, stop)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
