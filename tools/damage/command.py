"""The command line: which doors, how many files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from damage.doors import DOORS
from damage.sweep import Found, sweep
from fdabnn_deploy.cli.console import format_bytes, make_console
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import ParityError
from fdabnn_deploy.system.files import check_outputs, write_whole


def run(args: Sequence[str] | None = None) -> int:
    """Runs the command line and gives back its exit code; errors become one line."""
    return run_command(_main, "damage", args)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("doors", nargs=-1, type=click.Choice([door.name for door in DOORS]))
@click.option(
    "--files", "count", type=click.IntRange(1), default=500, show_default=True, help="For each door."
)
@click.option("--seed", type=int, default=0, show_default=True, help="What is drawn depends on it.")
@click.option(
    "--json", "json_path", type=click.Path(path_type=Path), metavar="PATH", help="Write all as JSON."
)
@click.option("--debug", is_flag=True, expose_value=False, help="show tracebacks")
def _main(doors: tuple[str, ...], count: int, seed: int, json_path: Path | None) -> None:
    """Sends damaged files through DOORS, by default all of them, and says what came of them.

    Ends with 4 where one was not refused as it should be.
    """
    check_outputs({"--json": json_path}, {})
    console = make_console()
    console.print(
        "| door | files | kinds | refused | as the sound file | failures | slowest | memory |\n|---|---|---|---|---|---|---|---|"
    )
    results: list[Found] = []
    for door in DOORS:
        if doors and door.name not in doors:
            continue
        with tempfile.TemporaryDirectory(prefix="fdabnn-damage-") as folder:
            found = sweep(door, count, seed, Path(folder))
        results.append(found)
        outcomes = found.outcomes
        cells = (
            found.door,
            str(sum(found.kinds.values())),
            str(len(found.kinds)),
            str(outcomes["refused"]),
            str(outcomes["same"])
            + (f" (and {outcomes['unseen']} with other content)" if outcomes["unseen"] else ""),
            str(len(found.failures)),
            f"{found.seconds:.2f} s",
            format_bytes(found.memory),
        )
        console.print(f"| {' | '.join(cells)} |", soft_wrap=True)
        for kind, number, outcome, said in found.failures:
            console.print(f"  {found.door}, file {number}, {kind}: {outcome}: {said}", soft_wrap=True)
    if json_path is not None:
        write_whole(json_path, (json.dumps([found.to_json() for found in results], indent=1) + "\n").encode())
    failed = sum(len(found.failures) for found in results)
    if failed:
        raise ParityError(f"{failed} damaged files were not refused as they should be")
