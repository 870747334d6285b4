"""The command line: count, and compare with the table or write it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence

import click
from rich.console import Console

from arm_root import library
from arm_root.make import make_root
from fdabnn_deploy.cli.console import make_console, print_table
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.runtimes.emulator.arm_root import CPU, Guest
from fdabnn_deploy.system.scratch import ScratchFolder
from instruction_counts import measure, table
from instruction_counts.measure import Entries

_PACKAGES = {"LiteRT": "ai-edge-litert", "ONNX Runtime": "onnxruntime"}
_HEADS = ("", "instructions", "per 1000 MAC", "vector", "loads", "stores", "branches")


def run(args: Sequence[str] | None = None) -> int:
    """Runs the command line and gives back its exit code; errors become one line."""
    return run_command(_main, "instruction_counts", args)


def versions(guest: Guest) -> dict[str, str]:
    """Versions of all that the counts depend on besides the checkout."""
    packages = {name: guest.package_version(package) for name, package in _PACKAGES.items()}
    return {"processor": CPU, **packages}


def judge(console: Console, entries: Entries, found: Mapping[str, str]) -> None:
    """Prints what differs from the table and is passed over.

    Args:
        console: where to.
        entries: what was counted.
        found: the versions of that.

    Raises:
        SlowerError: see `table.check`.
        UsageError: likewise, or there is no table.
    """
    known, expected = table.read(), table.read_versions()
    for name in found:
        if found[name] != expected.get(name):
            console.print(f"{name}: {found[name]} here, {expected.get(name)} in the table", soft_wrap=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            table.check(known, entries)
        finally:
            for warning in told:
                console.print(str(warning.message), soft_wrap=True)
    console.print(f"no count has grown by more than {table.LIMIT:.0%}")


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
    with ScratchFolder("fdabnn-counted-networks-") as folder:
        networks = {
            "ResNet-20": model_files.export_resnet20(folder.path),
            "VGG-small": model_files.export_vgg_small(folder.path),
        }
        entries |= measure.count_models(guest, networks)
    rows = [table.cells(name, entry) for name, entry in entries.items()]
    print_table(console, "executed instructions", _HEADS, rows, right=range(1, len(_HEADS)))
    console.print(f"\n{len(entries)} counts in {time.perf_counter() - begin:.0f} s")
    if update:
        table.write(entries, versions(guest))
        console.print(f"written: {table.TABLE}", soft_wrap=True)
        return
    judge(console, entries, versions(guest))
