from __future__ import annotations

import io
import subprocess
import sys

import click
import pytest
from rich.console import Console
from rich.text import Text

from fdabnn_deploy.cli import console as cli
from fdabnn_deploy.errors import ModelRefusedError, ParityError, RuntimeMissingError, UsageError
from fdabnn_deploy.system.progress import Stage


def plain(width: int = 60) -> tuple[Console, io.StringIO]:
    file = io.StringIO()
    return Console(file=file, width=width, highlight=False, markup=False), file


def command(error: BaseException | None = None) -> click.Command:
    @click.command()
    @click.argument("path")
    @click.option("--size", type=int)
    @click.option("--debug", is_flag=True)
    def run(path: str, size: int | None, debug: bool) -> None:
        if error is not None:
            raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("no such thing: name another"), 2, "tool: no such thing: name another\n"),
        (ModelRefusedError("damaged\n  layer a"), 3, "tool: damaged\n  layer a\n"),
        (ParityError("they differ"), 4, "tool: they differ\n"),
        (RuntimeMissingError("no runtime"), 6, "tool: no runtime\n"),
        (KeyboardInterrupt(), 130, "tool: stopped\n"),
        (click.Abort(), 130, "tool: stopped\n"),
        (
            ValueError("shape"),
            1,
            (
                "tool: this is a bug in tool, not a mistake of yours: ValueError: shape; "
                "add --debug and please report the traceback\n"
            ),
        ),
    ],
)
def test_every_error_becomes_a_message_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert cli.run_command(command(error), "tool", ["x"]) == code
    captured = capsys.readouterr()
    assert captured.err == said
    assert captured.out == ""


def test_usage_errors_of_click_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ([], ["x", "--size", "y"], ["x", "--sise", "1"]):
        assert cli.run_command(command(), "tool", args) == 2
        err = capsys.readouterr().err
        assert err.startswith("tool: ")
        assert err.endswith("(see tool --help)\n")
        assert err.count("\n") == 1


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(command(ValueError("shape")), "tool", ["x", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_success_and_help_end_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run_command(command(), "tool", ["x"]) == 0
    assert cli.run_command(command(), "tool", ["--help"]) == 0
    assert capsys.readouterr().err == ""


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


def test_numbers_separated_by_commas() -> None:
    kind = cli.Numbers(float, "two numbers", 2)
    assert kind.convert("-2,2.5", None, None) == (-2.0, 2.5)
    assert cli.Numbers(int, "a shape").convert("3x32x32", None, None) == (3, 32, 32)
    for bad in ("1", "1,2,3", "a,b", "nan,1", "1,inf"):
        with pytest.raises(click.BadParameter):
            kind.convert(bad, None, None)


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "import sys, click; from fdabnn_deploy.cli.console import run_command\n"
        "c = click.command()(lambda: [print('line') for _ in range(100000)])\n"
        "sys.exit(run_command(c, 'tool', []))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
