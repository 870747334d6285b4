"""The table in docs/families.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from docs.tables import write_table

PATH = Path(__file__).resolve().parents[2] / "docs" / "families.md"
UPDATE = "python tools/families table --update"
_HEADS = (
    "in the style of", "what is special", "1-bit layers", "same decisions", "TFLite, bytes", "float, bytes", "time, float = 1",
    "differing bits",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One family.

    Attributes:
        title: of the family.
        idioms: see `Family`.
        binary: how many layers are binary, of how many that are meant to be; two for layers with zeros are counted once.
        expected: how many are meant to be.
        same: inputs whose decision is that of the trained network.
        inputs: how many were compared.
        size: of the TFLite file.
        float_size: of the TFLite file of the same network in float32.
        time: of the file in LiteRT with the delegate on one thread, where that file takes 1.
        differing: bits, on all runtimes.
    """

    title: str
    idioms: str
    binary: int
    expected: int
    same: int
    inputs: int
    size: int
    float_size: int
    time: float
    differing: int


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown."""
    lines = [
        (
            row.title,
            row.idioms,
            f"{row.binary} of {row.expected}",
            f"{row.same} of {row.inputs}",
            f"{row.size:,}",
            f"{row.float_size:,}",
            f"{row.time:.2f}",
            str(row.differing),
        )
        for row in rows
    ]
    head = [_HEADS, ("---", "---", *["---:"] * 6)]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in (*head, *lines)) + "\n"


def write(text: str) -> None:
    """Puts a table in the place of the one that the document has.

    Raises:
        NotWrittenError: the document cannot be written.
    """
    write_table(PATH, text)
