"""A table in a document that a command makes: between two marks, read and put back whole."""

from __future__ import annotations

import re
from pathlib import Path

from fdabnn_deploy.system.files import write_whole

_REGION = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)


def read_table(document: Path) -> str:
    """The table that a document has."""
    found = _REGION.search(document.read_text(encoding="utf-8"))
    return "" if found is None else found[0]


def write_table(document: Path, text: str) -> None:
    """Puts a table in the place of the one that a document has.

    Raises:
        NotWrittenError: the document cannot be written.
    """
    whole = document.read_text(encoding="utf-8")
    write_whole(document, _REGION.sub(lambda _: text, whole).encode())
