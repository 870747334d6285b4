"""`fdabnn-export`: from a checkpoint to verified files, with the proof on the terminal."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

import fdabnn_deploy
from fdabnn_deploy.cli.console import (
    StagePrinter,
    console_for,
    format_bytes,
    format_number,
    format_share,
    mark,
    print_table,
    run_command,
)
from fdabnn_deploy.cli.export_tables import (
    print_gate,
    print_grids,
    print_inputs,
    print_parity,
    print_proofs,
    print_truth,
    runtime_title,
)
from fdabnn_deploy.cli.options import (
    as_typed,
    file_option,
    reading_arguments,
    reading_options,
    samples_path,
    version_option,
)
from fdabnn_deploy.cli.sign_notes import describe_zeros
from fdabnn_deploy.errors import NotWrittenError, UsageError
from fdabnn_deploy.exact.record import Mode
from fdabnn_deploy.ir.sign_zero import CHOICES, SignZero
from fdabnn_deploy.pipeline.report import ExportParityError, Report
from fdabnn_deploy.system.files import check_outputs
from fdabnn_deploy.targets.converter import Kernels, Via
from fdabnn_deploy.targets.installed import suffixes

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
    help="Inputs to verify on: .npz, folder of images, CIFAR-10 folder or random:N; PATH:N takes N of "
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
    "signs, with two binary layers for one; it takes weights with zeros, too.",
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
    numerics: Mode,
    sign_zero: SignZero,
    capsule: Path | None,
    debug: bool,
    **options: Any,
) -> None:
    """Export a trained binary network to ONNX and TFLite, and verify every file on its runtime.

    Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 model refused, 4 parity or gate failed, 6 a package is missing,
    or a file cannot be written.
    """
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
            numerics=numerics,
            sign_zero=sign_zero,
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
    _print_end(console, report, checkpoint, as_typed(options), json_path)


def _check_outputs(
    json_path: Path | None, capsule: Path | None, out: Path, checkpoint: Path, samples: str | None
) -> None:
    """Before the work: where the report and the capsule go. What the files are called is known only when the checkpoint was read."""
    if (
        json_path is not None
        and json_path.suffix in suffixes()
        and json_path.resolve().parent == out.resolve()
    ):
        raise UsageError(f"--json {json_path} ends as the exported files do: name another file")
    inputs = {"CHECKPOINT": checkpoint, "--samples": samples_path(samples)}
    check_outputs({"--json": json_path, "--capsule": capsule}, inputs)


def print_report(console: Console, report: Report) -> None:
    """Prints everything but the stages, which were printed as they ended."""
    _print_coverage(console, report)
    _print_notes(console, report)
    print_inputs(console, report)
    print_grids(console, report)
    print_truth(console, report)
    print_gate(console, report)
    print_parity(console, report)
    print_proofs(console, report)
    _print_layer_checks(console, report)
    _print_latency(console, report)
    _print_sizes(console, report)


def _print_coverage(console: Console, report: Report) -> None:
    binary = sum(layer.one_bit for layer in report.coverage)
    expected = sum(layer.expected for layer in report.coverage)
    rows = []
    for layer in report.coverage:
        bits = Text("float", "yellow" if layer.expected else "")
        if layer.binary_layers:
            bits = Text("1 bit" if layer.one_bit else f"{layer.binary_layers} x 1 bit", "green")
        why = "" if layer.one_bit else layer.why
        if layer.expected and not layer.binary_layers:
            why = f"{why}; allowed by --allow-float"
        rows.append(
            (layer.module, layer.kind, "x".join(map(str, layer.weight_shape)), bits, Text(why, "dim"))
        )
    title = f"Layers: {binary} of {len(report.coverage)} are 1-bit, {expected} were expected to be"
    print_table(console, title, ("layer", "kind", "weights", "", "why not 1-bit"), rows)


def _print_notes(console: Console, report: Report) -> None:
    for warning in report.warnings:
        console.print()
        console.print(Text.assemble(("warning: ", "bold yellow"), warning), soft_wrap=not console.is_terminal)
    lines = [note for note in report.notes if note not in report.warnings]
    lines += describe_zeros(report)
    noise = report.dropped_noise
    if noise is not None:
        line = (
            f"noise dropped in {len(noise.alpha)} layers, alpha up to "
            f"{max(map(abs, noise.alpha.values())):g}: "
            f"top-1 agreement with the network as trained {format_share(noise.top1_agreement)}, "
            f"largest change of an output {format_number(noise.max_abs)}"
        )
        if noise.accuracy_noisy is not None and noise.accuracy_binary is not None:
            line += f", accuracy {format_share(noise.accuracy_noisy)} → {format_share(noise.accuracy_binary)}"
        lines.append(line)
    lines += [note for done in report.passes for note in done.notes]
    lines += [note for artifact in report.artifacts for note in artifact.notes]
    if lines:
        console.print()
    for line in lines:
        console.print(Text.assemble(("note: ", "yellow"), line), soft_wrap=not console.is_terminal)


def _print_layer_checks(console: Console, report: Report) -> None:
    rows = []
    for row in report.twins:
        equal = sum(layer.passed for layer in row.layers)
        values = sum(layer.values for layer in row.layers)
        rows.append(
            (
                mark(row.passed),
                runtime_title(row.runtime),
                f"{equal} of {len(row.layers)} layers equal",
                f"{values} accumulators, {sum(layer.differing for layer in row.layers)} differ",
            )
        )
    if rows:
        images = report.twins[0].images
        title = f"Each binary layer alone, on what it reads in {images} inputs: integers, equal by =="
        print_table(console, title, ("", "", "", ""), rows)


def _print_latency(console: Console, report: Report) -> None:
    rows = []
    for row in report.latency:
        timed = row.latency
        rows.append(
            (
                f"{runtime_title(row.runtime)} {row.version}",
                f"{timed.median_ms:.2f} ms",
                f"{timed.p10_ms:.2f} to {timed.p90_ms:.2f} ms",
                f"{timed.runs}",
            )
        )
    title = f"Latency of one image, 1 thread, {report.environment.cpu}"
    print_table(console, title, ("runtime", "median", "8 of 10 runs", "runs"), rows, right=(1, 2, 3))


def _print_sizes(console: Console, report: Report) -> None:
    sizes = report.sizes
    rows = []
    for artifact in report.artifacts:
        against = f"{sizes.fp32_parameters / artifact.bytes:.1f} times smaller"
        if artifact.bytes > sizes.fp32_parameters:
            against = f"{artifact.bytes / sizes.fp32_parameters:.2f} times as large"
        row = [artifact.path, format_bytes(artifact.bytes), against]
        row.append(f"{artifact.bytes / sizes.checkpoint:.1%} of it" if sizes.checkpoint else "")
        rows.append(row)
    columns = ["file", "size", f"fp32 weights {format_bytes(sizes.fp32_parameters)}"]
    columns.append(f"checkpoint {format_bytes(sizes.checkpoint)}" if sizes.checkpoint else "")
    print_table(console, "Sizes", columns, rows, right=(1, 2, 3))


def _print_end(
    console: Console, report: Report, checkpoint: Path, options: str, json_path: Path | None
) -> None:
    console.print()
    sign = mark(True) if report.verified else Text("--", "yellow")
    words, _, few = report.verdict_text.partition("; ")
    ending = f"; {few}" if few else ""
    console.print(
        Text.assemble(sign, (f" {words} in {report.seconds:.1f} s{ending}", "bold")), soft_wrap=True
    )
    paths = [artifact.path for artifact in report.artifacts]
    inputs = shlex.quote(report.samples.argument)
    commands = [
        f"fdabnn-parity {shlex.quote(str(checkpoint))} {shlex.quote(path)} --inputs {inputs}{options}"
        for path in paths
    ]
    if len(paths) > 1:
        commands.append(
            f"fdabnn-parity {' '.join(map(shlex.quote, paths[:2]))} --inputs {inputs} --per-layer"
        )
    console.print(Text("next:", "dim"))
    for command in commands:
        console.print(f"  {command}", soft_wrap=True)
    if json_path is not None:
        console.print(Text(f"the whole report: {json_path}", "dim"), soft_wrap=True)


def main(args: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code (see `fdabnn_deploy.errors`)."""
    return run_command(_export, NAME, args)


if __name__ == "__main__":
    sys.exit(main())
