"""Running a function in one thread at a time."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def one_at_a_time(function: Callable[P, R]) -> Callable[P, R]:
    """Makes a second thread wait until the first has left the function; a function may call itself.

    For what changes the process while it runs, as tracing, converters and their libraries do: filters of warnings, log levels, the import
    path, standard error.
    """
    lock = threading.RLock()

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        with lock:
            return function(*args, **kwargs)

    return guarded
