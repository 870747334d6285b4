"""Checks of arguments from Python, by the rules of the command line: what that refuses is refused here in the same words."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fdabnn_deploy.errors import UsageError

DYNAMIC = "dynamic"


def one_of(value: object, choices: Sequence[str], what: str) -> str:
    """A choice, spelled exactly as one of `choices`.

    Raises:
        UsageError: it is none of them; the message names them, and the nearest.
    """
    if isinstance(value, str) and value in choices:
        return str(value)
    near = difflib.get_close_matches(str(value).lower(), choices, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise UsageError(f"{what} is {' or '.join(repr(choice) for choice in choices)}, not {value!r}{hint}")


def whole_number(value: Any, what: str, least: int = 1) -> int:
    """A whole number of at least `least`, as a plain `int`; NumPy's integers are taken, booleans and fractions are not.

    Raises:
        UsageError: it is something else.
    """
    # A bool is an int to Python.
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise UsageError(f"{what} is a whole number of at least {least}, not {value!r}")
    return int(value)


def yes_or_no(value: Any, what: str) -> bool:
    """True or False, also NumPy's; a text such as "no" would count as True.

    Raises:
        UsageError: it is something else.
    """
    if not isinstance(value, bool | np.bool_):
        raise UsageError(f"{what} is True or False, not {value!r}")
    return bool(value)


def names(value: Any, what: str) -> tuple[str, ...]:
    """One text, or several.

    Raises:
        UsageError: it is something else, or one of several is.
    """
    found = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else None
    if found is None or not all(isinstance(one, str) for one in found):
        raise UsageError(f"{what} is a text or several, such as ['a', 'b'], not {value!r}")
    return tuple(found)


def batch_size(value: Any) -> int | None:
    """The batch size of a file: a positive number, or None for any, which is also written "dynamic".

    Raises:
        UsageError: it is something else.
    """
    if value is None or (isinstance(value, str) and value == DYNAMIC):
        return None
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    try:
        return whole_number(value, "batch")
    except UsageError:
        raise UsageError(f"batch is a positive number or '{DYNAMIC}' (None), not {value!r}") from None
