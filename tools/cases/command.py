"""The command line: which folder of cases, against which expectations."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from cases import expected as expectations
from cases import running
from cases.running import Result
from fdabnn_deploy.cli.console import make_console
from fdabnn_deploy.cli.escaping import escape_name
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import ParityError, UsageError

OWN = Path(__file__).with_name("own")
EXPECTED = "expected.toml"
HELPERS = frozenset({"run", "small"})
"""Files beside cases that are none."""
_LONGEST = 200


def run(args: Sequence[str] | None = None) -> int:
    """Runs the command line and gives back its exit code; errors become one line."""
    return run_command(_main, "cases", args)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=click.Path(path_type=Path), default=OWN)
@click.option(
    "--expect",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"TOML file of what is expected.  [default: {EXPECTED} in FOLDER]",
)
@click.option("--only", metavar="WORD", default="", help="Run the cases whose name contains it.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Cases at a time.")
@click.option("--debug", is_flag=True, expose_value=False, help="show tracebacks")
def _main(folder: Path, expect: Path | None, only: str, jobs: int) -> None:
    """Runs every case in FOLDER, by default the project's own, and compares what comes of it with what is expected.

    Prints a row of a Markdown table for each. Ends with 4 where one does not match, has no expectation, or is expected and not there.
    """
    wanted = expectations.read(expect or folder / EXPECTED)
    paths = {path.stem: path for path in sorted(folder.glob("*.py"))}
    if not paths:
        raise UsageError(f"no cases in {folder}: it holds no .py files")
    names = [name for name in sorted({*paths, *wanted}) if only in name and name not in HELPERS]
    console = make_console()
    console.print("| case | expected | found | |\n|---|---|---|---|", soft_wrap=True)

    def one(name: str) -> Result:
        if name not in wanted:
            return Result(name, "nothing", "not run", "no expectation")
        if name not in paths:
            return Result(name, str(wanted[name]), "no such file", "it is missing")
        return running.run(name, paths[name].resolve(), wanted[name])

    results = []
    with ThreadPoolExecutor(jobs) as pool:
        for result in pool.map(one, names):
            results.append(result)
            verdict = f"**{result.wrong}**" if result.wrong else "left out" if result.left_out else "ok"
            cells = (result.name, result.expected, _short(result.found), verdict)
            console.print(
                "| " + " | ".join(escape_name(cell).replace("|", "\\|") for cell in cells) + " |",
                soft_wrap=True,
            )
    wrong = [result.name for result in results if result.wrong]
    left_out = sum(result.left_out for result in results)
    console.print(
        f"\n{len(results) - len(wrong) - left_out} as expected, {len(wrong)} not, {left_out} left out",
        soft_wrap=True,
    )
    if wrong:
        raise ParityError(f"{len(wrong)} of {len(results)} cases are not as expected: {', '.join(wrong)}")


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
