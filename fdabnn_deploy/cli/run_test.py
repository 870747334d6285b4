from __future__ import annotations

import subprocess
import sys

import click
import pytest

from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import ModelRefusedError, ParityError, RuntimeMissingError, UsageError


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
    assert run_command(command(error), "tool", ["x"]) == code
    captured = capsys.readouterr()
    assert captured.err == said
    assert captured.out == ""


def test_usage_errors_of_click_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ([], ["x", "--size", "y"], ["x", "--sise", "1"]):
        assert run_command(command(), "tool", args) == 2
        err = capsys.readouterr().err
        assert err.startswith("tool: ")
        assert err.endswith("(see tool --help)\n")
        assert err.count("\n") == 1


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command(ValueError("shape")), "tool", ["x", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_success_and_help_end_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(command(), "tool", ["x"]) == 0
    assert run_command(command(), "tool", ["--help"]) == 0
    assert capsys.readouterr().err == ""


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "import sys, click; from fdabnn_deploy.cli.run import run_command\n"
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


@pytest.mark.parametrize("tool", ["export", "parity", "profile"])
def test_help_loads_nothing_that_is_slow_to_load(tool: str) -> None:
    code = (
        f"import sys; from fdabnn_deploy.cli.{tool} import main; main(['--help'])\n"
        "print({'numpy', 'rich', 'torch', 'onnx', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--json" in done.stdout
    assert done.stdout.endswith("\nset()\n")
