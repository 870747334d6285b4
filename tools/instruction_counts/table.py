"""The table of counts that is kept beside the sources, and what has changed against it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fdabnn_deploy.errors import SlowerError, UsageError
from fdabnn_deploy.measure.profiles.instruction_count import Counts
from fdabnn_deploy.system.files import write_whole
from instruction_counts.measure import Entries, Entry

TABLE = Path(__file__).with_name("counts.json")
UPDATE = "python tools/instruction_counts --update"
LIMIT = 0.02
"""A count may grow by this share before the table has to be renewed."""
TOLD = 0.002
"""A decrease by this share is told. Below are what the interpreter does around a model."""
_PER_MACS = 1000


@dataclass(frozen=True)
class Change:
    """A row that is not what it was.

    Attributes:
        name: of the row.
        before: instructions in the table, None for a row that it lacks.
        after: instructions now, None for a row of the table that is not counted any more.
    """

    name: str
    before: int | None
    after: int | None

    @property
    def failed(self) -> bool:
        """Whether the table has to be renewed."""
        return self.before is None or self.after is None or self.after > self.before * (1 + LIMIT)

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name}: {self.after:,} instructions, not in the table"
        if self.after is None:
            return f"{self.name}: {self.before:,} instructions in the table, not counted any more"
        share = self.after / self.before - 1
        return f"{self.name}: {self.before:,} instructions in the table, now {self.after:,} ({share:+.1%})"


def compare(table: Entries, counted: Entries) -> list[Change]:
    """Rows that only one side has, and those that have grown or shrunk by more than is passed over."""
    changes = []
    for name in dict.fromkeys((*table, *counted)):
        before = table[name].counts.instructions if name in table else None
        after = counted[name].counts.instructions if name in counted else None
        change = Change(name, before, after)
        if change.failed or (before is not None and after is not None and after < before * (1 - TOLD)):
            changes.append(change)
    return changes


def check(table: Entries, counted: Entries) -> None:
    """Compares; rows that have shrunk are told as a warning.

    Raises:
        SlowerError: a row has grown by more than `LIMIT`.
        UsageError: no row has, and one side has rows that the other lacks.
    """
    changes = compare(table, counted)
    failed = [change for change in changes if change.failed]
    shrunk = [change for change in changes if not change.failed]
    if shrunk:
        text = "\n  ".join(map(str, shrunk))
        warnings.warn(
            f"fewer instructions than in the table:\n  {text}\nkeep that with  {UPDATE}", stacklevel=1
        )
    if failed:
        slower = any(change.before is not None and change.after is not None for change in failed)
        text = "\n  ".join(map(str, failed))
        what = f"instruction counts differ from {TABLE.name} (up to {LIMIT:+.0%} is passed over):\n  {text}"
        raise (SlowerError if slower else UsageError)(
            f"{what}\nif that is meant, renew the table in the same change, with  {UPDATE}"
        )


def read(path: Path = TABLE) -> dict[str, Entry]:
    """The rows of a table.

    Raises:
        UsageError: there is none, or it is damaged.
    """
    try:
        rows = json.loads(path.read_text())["counts"]
        return {name: Entry(row.pop("macs"), Counts(**row)) for name, row in rows.items()}
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror}): make it with  {UPDATE}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{path} is damaged: make it again with  {UPDATE}") from None


def write(entries: Entries, versions: Mapping[str, str], path: Path = TABLE) -> None:
    """Writes a table, and beside it the same for readers.

    Args:
        entries: its rows.
        versions: of what was counted.
        path: where to; the other file has the suffix `.md`.

    Raises:
        NotWrittenError: it cannot be written.
    """
    rows = {name: {"macs": entry.macs, **asdict(entry.counts)} for name, entry in entries.items()}
    text = json.dumps({"versions": dict(versions), "counts": rows}, indent=1)
    write_whole(path, f"{text}\n".encode())
    write_whole(path.with_suffix(".md"), markdown(entries, versions).encode())


def read_versions(path: Path = TABLE) -> dict[str, str]:
    """The versions of the tools with which the rows of a table were counted."""
    versions: dict[str, str] = json.loads(path.read_text())["versions"]
    return versions


def markdown(entries: Entries, versions: Mapping[str, str]) -> str:
    """The table for readers."""
    counted = ", ".join(f"{name} {version}" for name, version in versions.items())
    lines = [
        "# Executed instructions on aarch64",
        "",
        f"Written by `{UPDATE}`; what it says is in [docs/instruction-counts.md](../../docs/instruction-counts.md).",
        f"Counted with {counted}. Per {_PER_MACS} MAC: instructions for {_PER_MACS} multiply-accumulates, of models the binary ones.",
        "",
        "| what | instructions | per 1000 MAC | vector | loads | stores | branches |",
        "|------|-------------:|-------------:|-------:|------:|-------:|---------:|",
    ]
    lines += [f"| {' | '.join(cells(name, entry))} |" for name, entry in entries.items()]
    return "\n".join([*lines, ""])


def cells(name: str, entry: Entry) -> Sequence[str]:
    """A row for readers."""
    counts = entry.counts
    per_macs = f"{_PER_MACS * counts.instructions / entry.macs:.1f}" if entry.macs else ""
    kinds = (counts.vector, counts.loads, counts.stores, counts.branches)
    return (name, f"{counts.instructions:,}", per_macs, *(f"{kind:,}" for kind in kinds))
