"""The command line: writes the files of all networks by both writers, and compares them with the document's table or renews it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import click

from both_writers import document
from both_writers.compared_networks import Network, random_networks, sources
from both_writers.file_facts import Row, measure
from fdabnn_deploy.cli.console import make_console
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import ParityError, UsageError
from fdabnn_deploy.system.scratch import ScratchFolder


def run(args: Sequence[str] | None = None) -> int:
    """Runs the command line and gives back its exit code; errors become one line."""
    return run_command(_main, "both_writers", args)


def networks() -> Iterator[Network]:
    """All networks; one is made when the one before it is done."""
    for source in sources():
        yield source.make()
    yield from random_networks()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--update", is_flag=True, help="write the table into the document instead of comparing with it")
@click.option("--debug", is_flag=True, expose_value=False, help="show tracebacks")
def _main(update: bool) -> None:
    """Makes the files of all networks by both TFLite writers, runs and proves them, and compares sizes with docs/tflite-writer.md.

    Takes some ten minutes. Ends with 4 where a file is worse than that of LCE's converter, with 2 where the document has another table.
    """
    console, begin, rows = make_console(), time.perf_counter(), list[Row]()
    for network in networks():
        with ScratchFolder("fdabnn-both-writers-") as folder:
            rows.append(measure(network, folder.path))
        console.print(f"{network.name}: {rows[-1].own.size} bytes instead of {rows[-1].lce.size}")
    console.print(f"{len(rows)} networks in {time.perf_counter() - begin:.0f} s")
    faults = [fault for row in rows for fault in row.faults()]
    if faults:
        raise ParityError("\n".join(faults))
    table = document.table(rows)
    if update:
        document.write(table)
    elif document.read() != table:
        raise UsageError(
            f"{document.PATH.name} has another table: renew it in the same change, with  {document.UPDATE}"
        )
