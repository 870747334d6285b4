from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from fdabnn_deploy.cli import console as cli
from fdabnn_deploy.system.progress import Stage


def plain(width: int = 60) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, highlight=False, markup=False), file


def test_table_is_aligned_and_has_no_trailing_spaces() -> None:
    console, file = plain()
    cli.print_table(
        console, "Title", ("name", "", "count"), [("a", "", "1"), ("long name", "", "1000")], right=(2,)
    )
    assert file.getvalue() == "\nTitle\n  name       count\n  a              1\n  long name   1000\n"


def test_table_wraps_its_last_column_under_itself() -> None:
    console, file = plain(48)
    cli.print_table(
        console, "T", ("", ""), [("layer", Text("one two three four five six seven eight nine ten"))]
    )
    lines = file.getvalue().splitlines()[2:]
    assert len(lines) > 1
    assert lines[0].startswith("  layer  one two")
    assert all(line.startswith(" " * 9) for line in lines[1:])
    assert " ".join(" ".join(lines).split()) == "layer one two three four five six seven eight nine ten"


def test_stage_lines_fit_the_width() -> None:
    console, file = plain(60)
    printer = cli.StagePrinter(console)
    printer.start("convert", "onnx")
    printer.done(Stage("convert", "onnx: a very long detail that goes on and on and on", 1.234, 1_100_000))
    printer.done(Stage("passes", "3 rewrites", 0.01))
    lines = file.getvalue().splitlines()
    assert [len(line) for line in lines] == [60, 60]
    assert lines[0].endswith("…  1.10 MB   1.23 s")
    assert lines[1].startswith("  passes     3 rewrites")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (72_300, "72.3 kB"),
        (999_499, "999 kB"),
        (1_080_000, "1.08 MB"),
    ],
)
def test_bytes(count: int, text: str) -> None:
    assert cli.format_bytes(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (812, "812"),
        (3.1e-05, "3.1e-05"),
        (0.0213, "0.0213"),
        (1.5e9, "1.5e+09"),
        (float("inf"), "NaN"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert cli.format_number(value) == text


def test_only_all_is_100_percent() -> None:
    assert cli.format_share(1.0) == "100 %"
    assert cli.format_share(0.99999) != "100 %"
    assert cli.format_share(0.8125) == "81.25 %"
