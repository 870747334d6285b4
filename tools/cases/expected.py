"""Reads the expected outcome of each case from a TOML file (docs/cases.md)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fdabnn_deploy.errors import UsageError

OUTCOMES = ("exported", "refused", "passes")


@dataclass(frozen=True)
class Expected:
    """The expected outcome of a case.

    Attributes:
        outcome: `exported`: its `run()` gives a report; `refused`: its `run()` raises an error of this package, or its last command ends
            with its exit code; `passes`: its last command ends with 0, or with `exit`.
        one_bit: of exported ones, the 1-bit layers and those that were expected to be, such as `2 of 2`; empty for any.
        kept: likewise, the smallest share of decisions that the files share with the trained network.
        exit: the exit code.
        says: regular expressions that are found in what is printed, or in the error.
        says_not: others that are not.
        commands: with which the case is run, in an empty folder; `{case}` is its file, `{folder}` where it is. By default its `run()` is
            called, or, where it passes, `python {case}`.
        needs: a module of Python without which the case is left out.
        why: a remark for readers.
    """

    outcome: str
    one_bit: str = ""
    kept: float = 1.0
    exit: int = 0
    says: tuple[str, ...] = ()
    says_not: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    needs: str = ""
    why: str = ""

    @property
    def left_out(self) -> bool:
        """Whether what the case needs is not installed."""
        return bool(self.needs) and find_spec(self.needs) is None

    def __str__(self) -> str:
        if self.outcome == "exported":
            return f"exported, {self.one_bit or 'any'} 1-bit, {self.kept:.0%} of the decisions"
        words = f": {'; '.join(self.says)}" if self.says else ""
        return f"{self.outcome}, exit {self.exit}{words}"


def read(path: Path) -> dict[str, Expected]:
    """The expectations in a file, by the case's name.

    Raises:
        UsageError: it cannot be read, or holds what is not understood.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML file: {error}") from None
    return {name: _one(f"{path}, [{name}]", table) for name, table in content.items()}


def _one(where: str, table: Any) -> Expected:
    if not isinstance(table, Mapping):
        raise UsageError(f"{where}: give a table for each case")
    known = {field.name: field for field in fields(Expected)}
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise UsageError(f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(known)}")
    if table.get("outcome") not in OUTCOMES:
        raise UsageError(f"{where}: outcome has to be one of {', '.join(OUTCOMES)}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in table.items()
    }
    if values["outcome"] == "refused":
        values.setdefault("exit", 3)
    for name, default in ((name, field.default) for name, field in known.items() if name in values):
        right = (int, float) if isinstance(default, float) else type(default) if name != "outcome" else str
        if not isinstance(values[name], right) or isinstance(values[name], bool):
            raise UsageError(f"{where}: {name} = {table[name]!r} is of the wrong type")
    for pattern in (*values.get("says", ()), *values.get("says_not", ())):
        try:
            re.compile(pattern)
        except (re.error, TypeError) as error:
            raise UsageError(f"{where}: {pattern!r} is no regular expression: {error}") from None
    return Expected(**values)
