"""The command line: where to, from where."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click

from arm_root import library
from arm_root.make import make_root
from fdabnn_deploy.cli.console import format_bytes, make_console
from fdabnn_deploy.cli.run import run_command


def run(args: Sequence[str] | None = None) -> int:
    """Runs the command line and gives back its exit code; errors become one line."""
    return run_command(_main, "arm_root", args)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="folder of the root [default: one in $XDG_CACHE_HOME/fdabnn-arm-root, shared by all checkouts]",
)
@click.option("--mirror", metavar="URL", help="package archive with arm64 [default: the distribution's own]")
@click.option("--fresh", is_flag=True, help="make it again, with the distribution's newest packages")
@click.option("--debug", is_flag=True, expose_value=False, help="show tracebacks")
def _main(out: Path | None, mirror: str | None, fresh: bool) -> None:
    """Makes an arm64 system without privileges, and the native library for it, for `fdabnn-parity --runtime qemu-aarch64`.

    It holds Python, LiteRT, ONNX Runtime, what else the base package needs, and pytest, of this machine's Debian or Ubuntu release.
    Made once: the same release and versions are found in the cache.
    """
    console = make_console()
    begin = time.perf_counter()
    guest = make_root(out, mirror=mirror, fresh=fresh, tell=lambda text: console.print(f"  {text}"))
    library.build()
    size = sum(path.lstat().st_size for path in guest.root.rglob("*") if not path.is_dir())
    console.print(f"{guest.root}  {format_bytes(size)}, {time.perf_counter() - begin:.1f} s", soft_wrap=True)
    if out is not None:
        console.print(f"name it:  export FDABNN_ARM_ROOT={guest.root}", soft_wrap=True)
