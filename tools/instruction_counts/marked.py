"""In the emulated process: marks around a call into the native library, or around anything else."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from fdabnn_deploy.native import library

_RUNS = ("_run", "quantize_", "pack_planes")
"""Endings and beginnings of the names of the functions that compute."""
_PLACES = 12
_WORD = 2**64


@contextmanager
def section() -> Iterator[None]:
    """Marks around whatever is done inside; the interpreter's own instructions are among it."""
    begin, end = library.function("marker_begin"), library.function("marker_end")
    begin()
    yield
    end()


def call_marked(run: Callable[[], object]) -> None:
    """Calls what makes one call into the library, which is then made between marks: nothing of Python is in the section."""
    plain = library.function

    def function(name: str) -> Callable[..., Any]:
        found = plain(name)
        computes = name.endswith(_RUNS[0]) or any(text in name for text in _RUNS[1:])
        return _between_marks(found) if computes else found

    with patch.object(library, "function", function):
        run()


def _between_marks(found: Callable[..., Any]) -> Callable[..., int]:
    # To mypy it is any function; it is one of ctypes', which are pointers.
    pointer: Any = found
    address = ctypes.cast(pointer, ctypes.c_void_p)

    def call(*arguments: Any) -> int:
        words = (ctypes.c_uint64 * _PLACES)(*map(_word, arguments))
        status = int(library.function("marked_call")(address, words))
        # The library's functions give an int: the upper half of the register is anything.
        return ctypes.c_int32(status).value

    return call


def _word(argument: Any) -> int:
    """An argument as it is passed in a register."""
    if argument is None:
        return 0
    if isinstance(argument, int):
        return argument % _WORD
    return ctypes.cast(argument, ctypes.c_void_p).value or 0
