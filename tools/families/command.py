"""The command line: trains the networks, or exports them all and renews the table of docs/families.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from families import document
from families.document import Row
from families.families_list import FAMILIES
from fdabnn_deploy.cli.console import make_console
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.system.scratch import ScratchFolder


def run(args: Sequence[str] | None = None) -> int:
    """Runs the command line and gives back its exit code; errors become one line."""
    return run_command(_main, "families", args)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def _main() -> None:
    """Small networks in the style of published families: trained, exported, listed in docs/families.md."""


@_main.command()
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="folder with CIFAR-10",
)
@click.option("--epochs", default=2, show_default=True, help="over 10,000 images")
@click.option("--only", multiple=True, help="names of families; repeatable")
@click.option("--debug", is_flag=True, expose_value=False, help="show tracebacks")
def train(folder: Path, epochs: int, only: tuple[str, ...]) -> None:
    """Trains the networks, from fixed seeds, and writes their checkpoints."""
    from families import training

    console = make_console()
    for family in FAMILIES:
        if not only or family.name in only:
            training.train(family, folder, epochs, console.print)


@_main.command()
@click.option(
    "--data",
    "folder",
    type=click.Path(path_type=Path, exists=True),
    help="folder with CIFAR-10; else random images",
)
@click.option("--update", is_flag=True, help="write the table into the document")
@click.option("--debug", is_flag=True, expose_value=False, help="show tracebacks")
def table(folder: Path | None, update: bool) -> None:
    """Exports every network to both targets, compares and times it."""
    console, rows = make_console(), list[Row]()
    for family in FAMILIES:
        with ScratchFolder("fdabnn-families-") as scratch:
            rows.append(document_row(family.name, scratch.path, folder))
        console.print(f"{rows[-1]}")
    text = document.table(rows)
    console.print(text)
    if update:
        document.write(text)


def document_row(name: str, out: Path, folder: Path | None) -> Row:
    """The row of a family by its name."""
    from families.exporting import measure

    (family,) = (family for family in FAMILIES if family.name == name)
    return measure(family, out, folder)
