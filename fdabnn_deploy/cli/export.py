"""`fdabnn-export`: from a checkpoint to verified files, with the proof on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import fdabnn_deploy
from fdabnn_deploy.cli.options import (
    as_typed,
    file_option,
    reading_arguments,
    reading_options,
    samples_path,
    version_option,
)
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import NotWrittenError, UsageError
from fdabnn_deploy.ir.sign_zero import CHOICES, SignZero
from fdabnn_deploy.system.files import check_outputs

if TYPE_CHECKING:
    from fdabnn_deploy.exact.record import Mode
    from fdabnn_deploy.ir.model_info import ChannelOrder, ImageLayout, InputFormat
    from fdabnn_deploy.pipeline.few_slices import FidelityChoice
    from fdabnn_deploy.targets.converter import Constants, Kernels, Via

NAME = "fdabnn-export"


class _Batch(click.ParamType[Any]):
    name = "batch"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "dynamic":
            return None
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"'{value}' is neither a positive number nor 'dynamic'", param, ctx)
        return int(value)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    help="onnx, tflite, all (both, the default) or another target that is installed; several by commas or by repeating.",
)
@click.option(
    "--out",
    default=".",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder of the files.  [default: the current one]",
)
@click.option(
    "--samples",
    metavar="PATH|random:N",
    help="Inputs to verify on: .npz or .npy, folder of images, CIFAR-10 folder or random:N; PATH:N takes N of "
    "them.  [default: CIFAR-10 from FDABNN_DATA where it fits, else random:200]",
)
@click.option(
    "--batch", default="1", type=_Batch(), metavar="N|dynamic", help="Batch size of the files.  [default: 1]"
)
@click.option(
    "--kernels",
    default="standard",
    show_default=True,
    type=click.Choice(["standard", "packed"]),
    help="Of ONNX files. standard: operators of ONNX, which every runtime has. packed: this package's 1-bit operators for "
    "ONNX Runtime, many times smaller and faster. TFLite files are always packed.",
)
@click.option(
    "--via",
    default="own",
    show_default=True,
    type=click.Choice(["own", "lce", "both"]),
    help="Of TFLite files. own: written by this package. lce: by TensorFlow and the converter of Larq Compute Engine, which have "
    "to be installed. both: our own file, and the other is made, too, and compared with it bit by bit.",
)
@file_option("--json", "json_path", text="Write the whole report as JSON.")
@click.option("--name", metavar="NAME", help="Of the files, without ending.  [default: the checkpoint's]")
@click.option(
    "--allow-float",
    multiple=True,
    metavar="LAYER",
    help="Let these layers come out as float layers: names or patterns such as 'layer1.*', by commas or by repeating; '*' for all.",
)
@click.option(
    "--allow-change",
    is_flag=True,
    help="Export a network that does not compute what was trained; files and reports say so from then on.",
)
@click.option(
    "--fidelity",
    default="decisions",
    show_default=True,
    type=click.Choice(["decisions", "accuracy"]),
    help="decisions: those of the trained network. accuracy: one or two slices for every float layer, smaller and faster, as long as the "
    "accuracy on labelled --samples stays.",
)
@click.option(
    "--max-drop",
    type=float,
    metavar="POINTS",
    help="With --fidelity accuracy: percentage points of accuracy that may be lost, tested with 95 % confidence.  [default: 1]",
)
@click.option(
    "--numerics",
    default="exact",
    show_default=True,
    type=click.Choice(["exact", "float"]),
    help="exact: equal bits on every runtime, proved. float: keep the float weights, report differences.",
)
@click.option(
    "--sign-zero",
    default="plus",
    show_default=True,
    type=click.Choice(CHOICES),
    help="What a zero counts as at a sign that keeps it 0, such as torch.sign. plus: +1. minus: -1. exact: 0, as the mean of two "
    "signs, with two binary layers for one.",
)
@click.option(
    "--input-format",
    default="float32",
    show_default=True,
    type=click.Choice(["float32", "pixels"]),
    help="float32: files take normalised images. pixels: they take bytes 0..255, uint8, and normalise them themselves: fewer and "
    "cheaper sums.",
)
@click.option(
    "--channel-order",
    default="rgb",
    show_default=True,
    type=click.Choice(["rgb", "bgr"]),
    help="Of pixels. rgb: as the network was trained. bgr: the opposite, as OpenCV and many cameras give them.",
)
@click.option(
    "--layout",
    default="nchw",
    show_default=True,
    type=click.Choice(["nchw", "nhwc"]),
    help="Of pixels in ONNX files. TFLite files are always NHWC.",
)
@click.option(
    "--constants",
    default="integer",
    show_default=True,
    type=click.Choice(["integer", "float"]),
    help="integer: weights that are integers of 8 bits are stored so, and the file makes floats of them when it is loaded. float: "
    "stored as floats, for runtimes that want constants there.",
)
@file_option(
    "--capsule",
    text="Write a golden capsule: model, inputs, outputs and hashes in one file, to be replayed on a device.",
)
@reading_options
@version_option
def _export(
    checkpoint: Path,
    targets: tuple[str, ...],
    out: Path,
    samples: str | None,
    batch: int | None,
    kernels: Kernels,
    via: Via,
    json_path: Path | None,
    name: str | None,
    allow_float: tuple[str, ...],
    allow_change: bool,
    fidelity: FidelityChoice,
    max_drop: float | None,
    numerics: Mode,
    sign_zero: SignZero,
    input_format: InputFormat,
    channel_order: ChannelOrder,
    layout: ImageLayout,
    constants: Constants,
    capsule: Path | None,
    debug: bool,
    **options: Any,
) -> None:
    """Export a trained binary network to ONNX and TFLite, and verify every file on its runtime.

    Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 model refused, 4 parity or gate failed, 6 a package is missing,
    or a file cannot be written.
    """
    # Here, because `--help` needs none of it.
    from rich.text import Text

    from fdabnn_deploy.cli.console import StagePrinter, console_for
    from fdabnn_deploy.cli.tables.export_report import print_end, print_report
    from fdabnn_deploy.pipeline.report import ExportParityError

    console = console_for(json_path)
    _check_outputs(json_path, capsule, out, checkpoint, samples)
    progress = StagePrinter(console)
    asked = [part for target in targets for part in target.split(",") if part] or ["all"]
    console.print(Text.assemble((f"{NAME} ", "bold"), f"{checkpoint} → {', '.join(asked)}"), soft_wrap=True)
    try:
        report = fdabnn_deploy.export(
            checkpoint,
            targets=asked,
            out=out,
            samples=samples,
            batch=batch,
            kernels=kernels,
            via=via,
            allow_float=allow_float,
            allow_change=allow_change,
            fidelity=fidelity,
            max_drop=max_drop,
            numerics=numerics,
            sign_zero=sign_zero,
            input_format=input_format,
            channel_order=channel_order,
            layout=layout,
            constants=constants,
            capsule=capsule,
            name=name,
            progress=progress,
            **reading_arguments(options),
        )
    except ExportParityError as error:
        progress.stop()
        print_report(console, error.report)
        if json_path is not None:
            try:
                error.report.write_json(json_path)
            except NotWrittenError as unwritten:
                # What the files are is said in any case.
                raise ExportParityError(f"{error}; {unwritten}", error.report) from None
        console.print()
        raise
    finally:
        progress.stop()
    print_report(console, report)
    if json_path is not None:
        report.write_json(json_path)
    print_end(console, report, checkpoint, as_typed(options), json_path)


def _check_outputs(
    json_path: Path | None, capsule: Path | None, out: Path, checkpoint: Path, samples: str | None
) -> None:
    """Before the work: where the report and the capsule go. What the files are called is known only when the checkpoint was read."""
    from fdabnn_deploy.targets.installed import suffixes

    if (
        json_path is not None
        and json_path.suffix in suffixes()
        and json_path.resolve().parent == out.resolve()
    ):
        raise UsageError(f"--json {json_path} ends as the exported files do: name another file")
    inputs = {"CHECKPOINT": checkpoint, "--samples": samples_path(samples)}
    check_outputs({"--json": json_path, "--capsule": capsule}, inputs)


def main(args: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (see `fdabnn_deploy.errors`)."""
    return run_command(_export, NAME, args)


if __name__ == "__main__":
    sys.exit(main())
