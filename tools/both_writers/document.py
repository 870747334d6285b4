"""The table in docs/tflite-writer.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from both_writers.file_facts import KERNELS, Row
from docs.tables import read_table, write_table

PATH = Path(__file__).resolve().parents[2] / "docs" / "tflite-writer.md"
UPDATE = "python tools/both_writers --update"
_HEADS = (
    "network", "bytes, ours", "LCE's", "operators, ours", "LCE's", *KERNELS, "values compared", "differing",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown; those of random graphs are added up."""
    named = [row for row in rows if not row.random]
    drawn = [row for row in rows if row.random]
    lines = [_cells(row.name, [row]) for row in named]
    lines += [_cells(f"{len(drawn)} random graphs", drawn)] if drawn else []
    right = "---:"
    head = [_HEADS, ("---", *[right] * 4, *["---"] * len(KERNELS), right, right)]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in (*head, *lines)) + "\n"


def _cells(name: str, rows: Sequence[Row]) -> tuple[str, ...]:
    own, lce = [row.own for row in rows], [row.lce for row in rows]
    sizes = [sum(facts.size for facts in files) for files in (own, lce)]
    operators = [f"{sum(facts.operators.total() for facts in files):,}" for files in (own, lce)]
    for count, what in (
        (sum(facts.copies for facts in own), "copies"),
        (sum(facts.constants for facts in own), "of weights"),
    ):
        operators[0] += f", {count} of them {what}" if count else ""
    taken = Counter(kernels for facts in own for kernels in facts.kernels)
    kernels = [("yes" if taken[k] else "no") if len(rows) == 1 else str(taken[k]) for k in KERNELS]
    values, differing = (
        sum(getattr(facts, key) for facts in (*own, *lce)) for key in ("values", "differing")
    )
    return (name, *(f"{size:,}" for size in sizes), *operators, *kernels, f"{values:,}", str(differing))


def read() -> str:
    """The table that the document has."""
    return read_table(PATH)


def write(text: str) -> None:
    """Puts a table in the place of the one that the document has.

    Raises:
        NotWrittenError: the document cannot be written.
    """
    write_table(PATH, text)
