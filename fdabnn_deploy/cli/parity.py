"""`fdabnn-parity`: two models, checkpoints or exported files, compared on the same inputs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import fdabnn_deploy
from fdabnn_deploy.cli.options import (
    file_option,
    reading_arguments,
    reading_options,
    samples_path,
    version_option,
)
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import ParityError
from fdabnn_deploy.system.files import check_outputs

NAME = "fdabnn-parity"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option(
    "--inputs",
    metavar="PATH|random:N",
    help=".npz or .npy, folder of images, CIFAR-10 folder or random:N; PATH:N and PATH:all choose how many.  "
    "[default: CIFAR-10 from FDABNN_DATA where it fits, else random:200]",
)
@click.option(
    "--runtime",
    "runtimes",
    metavar="NAME",
    multiple=True,
    help="Run the files on this runtime too, and compare each with itself: onnxruntime, litert, tflite, lce, qemu-aarch64, or another "
    "that is installed; repeatable.",
)
@click.option("--per-layer", is_flag=True, help="Compare the inner tensors, and name the first that differs.")
@file_option(
    "--reproduce",
    metavar="FOLDER",
    text="Write the first layer that differs, with what it reads, into a new folder; needs a checkpoint as A or B.",
)
@click.option(
    "--atol",
    type=float,
    metavar="X",
    help="Let values pass that differ by at most X; the verdict says how many did.",
)
@file_option("--json", "json_path", text="Write the result as JSON.")
@reading_options
@version_option
def _parity(
    a: Path,
    b: Path,
    inputs: str | None,
    runtimes: tuple[str, ...],
    per_layer: bool,
    reproduce: Path | None,
    atol: float | None,
    json_path: Path | None,
    debug: bool,
    **options: Any,
) -> None:
    """Compare two models A and B, each a checkpoint (.pt), an ONNX or a TFLite file, on the same inputs.

    They agree when every output has the same bits; zeros of either sign count as equal, and so do NaNs. A checkpoint
    stands for the network that its export makes of it, with the numerics recorded in the other file. Models with
    float numerics and the trained model itself, written CHECKPOINT:float, promise no bits: how far apart they are is
    reported, not judged.

    Exit codes: 0 they agree or are only reported, 4 they do not agree, 1 a bug, 2 wrong usage, 3 model refused,
    6 a package is missing, or a file cannot be written.
    """
    # Here, because `--help` needs none of it.
    from rich.text import Text

    from fdabnn_deploy.cli.console import StagePrinter, console_for
    from fdabnn_deploy.cli.tables.parity_report import comparison_mark, print_comparison

    console = console_for(json_path)
    check_outputs({"--json": json_path}, {"A": a, "B": b, "--inputs": samples_path(inputs)})
    progress = StagePrinter(console)
    try:
        result = fdabnn_deploy.compare_models(
            a,
            b,
            inputs,
            per_layer=per_layer,
            reproduce=reproduce,
            atol=atol,
            runtimes=runtimes,
            progress=progress,
            **reading_arguments(options),
        )
    finally:
        progress.stop()
    print_comparison(console, result)
    if reproduce is not None:
        written = f"the layer alone: {result.reproduction}" if result.reproduction else "nothing to reproduce"
        console.print(Text(written), soft_wrap=True)
    if json_path is not None:
        result.write_json(json_path)
    console.print()
    if not result.passed:
        raise ParityError(f"{a} and {b} do not agree: {result.verdict_text}")
    console.print(Text.assemble(comparison_mark(result), (f" {result.verdict_text}", "bold")), soft_wrap=True)


def main(args: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (see `fdabnn_deploy.errors`)."""
    return run_command(_parity, NAME, args)


if __name__ == "__main__":
    sys.exit(main())
