"""`fdabnn-lint`: a look at a network before it is trained, as an export would see it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from fdabnn_deploy.cli.options import file_option, reading_arguments, reading_options, version_option
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.system.files import check_outputs, write_whole

NAME = "fdabnn-lint"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("network", metavar="MODULE|CHECKPOINT")
@click.option("--strict", is_flag=True, help="End with exit code 3 where a layer is float or slow, too.")
@click.option(
    "--allow-float",
    metavar="LAYER",
    multiple=True,
    help="Layers that may be float: names or patterns, by commas or repeated.",
)
@file_option("--json", "json_path", text="Write the findings as JSON.")
@reading_options
@version_option
def _lint(
    network: str,
    strict: bool,
    allow_float: tuple[str, ...],
    json_path: Path | None,
    debug: bool,
    **options: Any,
) -> None:
    """Say which layers of a network will stay float, be slow or be refused, and what would change that.

    MODULE is package.module:factory, whose code runs, or the name of an architecture; its weights do not matter. Of a
    CHECKPOINT the trained weights are looked at as well.

    Exit codes: 0 nothing, or nothing that an export would refuse, 3 something would be refused, or with --strict a
    layer is float or slow, 1 a bug, 2 wrong usage, 6 a package is missing, or a file cannot be written.
    """
    # Here, because `--help` needs none of it.
    from fdabnn_deploy.cli.console import console_for
    from fdabnn_deploy.cli.tables.lint_tables import as_json, print_linted
    from fdabnn_deploy.frontend import checkpoint
    from fdabnn_deploy.pipeline.lint_network import lint_network

    console = console_for(json_path)
    path = Path(network) if Path(network).exists() else None
    check_outputs({"--json": json_path}, {"CHECKPOINT": path})
    arguments = reading_arguments(options)
    source = (
        checkpoint.read(path, **arguments) if path is not None else checkpoint.untrained(network, **arguments)
    )
    result = lint_network(source, allow_float)
    print_linted(console, result)
    if json_path is not None:
        write_whole(json_path, as_json(result).encode())
    if result.worst(strict=strict):
        raise ModelRefusedError(
            "an export would refuse this network: see the findings above"
            if result.worst(strict=False)
            else "layers are float or slow, which --strict does not allow: see the findings above"
        )


def main(args: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (see `fdabnn_deploy.errors`)."""
    return run_command(_lint, NAME, args)


if __name__ == "__main__":
    sys.exit(main())
