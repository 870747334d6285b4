"""The command line: count, and compare with the table or write it."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import click

from arm_root import library
from arm_root.make import make_root
from fdabnn_deploy.cli.console import make_console, print_table, run_command
from fdabnn_deploy.runtimes.arm_root import CPU, Guest
from instruction_counts import measure, table

_PACKAGES = {"LiteRT": "ai-edge-litert", "ONNX Runtime": "onnxruntime"}
_HEADS = ("", "instructions", "per 1000 MAC", "vector", "loads", "stores", "branches")


def run(args: Sequence[str] | None = None) -> int:
    """Runs the command line and gives back its exit code; errors become one line."""
    return run_command(_main, "instruction_counts", args)


def versions(guest: Guest) -> dict[str, str]:
    """What the counts depend on besides the checkout."""
    packages = {name: guest.package_version(package) for name, package in _PACKAGES.items()}
    return {"processor": CPU, **packages}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--update", is_flag=True, help="write the table instead of comparing with it")
@click.option("--debug", is_flag=True, expose_value=False, help="show tracebacks")
def _main(update: bool) -> None:
    """Counts what the aarch64 kernels and whole models execute, under qemu-aarch64, and compares it with the table in this folder.

    Ends with 5 where a count has grown by more than 2 %, with 2 where the table lacks rows or has too many.
    """
    from instruction_counts import model_files

    console, begin = make_console(), time.perf_counter()
    guest = make_root(tell=lambda text: console.print(f"  {text}"))
    library.build()
    entries = measure.count_kernels(guest)
    with tempfile.TemporaryDirectory(prefix="fdabnn-counts-") as folder:
        networks = {
            "ResNet-20": model_files.export_resnet20(Path(folder)),
            "VGG-small": model_files.export_vgg_small(Path(folder)),
        }
        entries |= measure.count_models(guest, networks)
    rows = [table.cells(name, entry) for name, entry in entries.items()]
    print_table(console, "executed instructions", _HEADS, rows, right=range(1, len(_HEADS)))
    console.print(f"\n{len(entries)} counts in {time.perf_counter() - begin:.0f} s")
    if update:
        table.write(entries, versions(guest))
        console.print(f"written: {table.TABLE}", soft_wrap=True)
        return
    known = table.read()
    found, expected = versions(guest), table.read_versions()
    if found != expected:
        console.print(f"counted with {found}, the table with {expected}", soft_wrap=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table.check(known, entries)
    for warning in told:
        console.print(str(warning.message), soft_wrap=True)
    console.print("no count has grown")
