"""Messages and exit codes of the command."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from fdabnn_deploy.errors import SlowerError
from instruction_counts import table
from instruction_counts.command import judge
from instruction_counts.measure import Entry

SMALLER, LARGER = "bconv 14x14x256 float, neon", "ResNet-20, LiteRT + delegate"


def altered(**factors: float) -> dict[str, Entry]:
    """The table's rows, some of them altered."""
    entries = table.read()
    for name, factor in factors.items():
        counts = entries[name].counts
        entries[name] = replace(
            entries[name], counts=replace(counts, instructions=round(counts.instructions * factor))
        )
    return entries


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=200, highlight=False, markup=False)


def said(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_equal_counts(console: Console) -> None:
    judge(console, table.read(), table.read_versions())
    assert said(console) == "no count has grown by more than 2%\n"


def test_other_versions_and_fewer_instructions_are_told(console: Console) -> None:
    judge(console, altered(**{SMALLER: 0.9}), {**table.read_versions(), "LiteRT": "0.1"})
    lines = said(console).splitlines()
    assert lines[0].startswith("LiteRT: 0.1 here, ")
    assert f"  {SMALLER}: " in lines[2]
    assert lines[-1] == "no count has grown by more than 2%"


def test_more_instructions_do_not_hide_what_is_told(console: Console) -> None:
    with pytest.raises(SlowerError, match=r"ResNet-20, LiteRT . delegate: "):
        judge(console, altered(**{SMALLER: 0.9, LARGER: 1.1}), table.read_versions())
    assert SMALLER in said(console)
    assert LARGER not in said(console)


def test_it_starts_from_the_checkout() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent), "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "--update" in done.stdout
