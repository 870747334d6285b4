"""The output of `fdabnn-export` for a report."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console
from rich.text import Text

from fdabnn_deploy.cli.console import format_bytes, format_number, format_share, mark, print_table
from fdabnn_deploy.cli.tables.export_tables import (
    print_fidelity,
    print_gate,
    print_grids,
    print_inputs,
    print_parity,
    print_proofs,
    print_truth,
    runtime_title,
)
from fdabnn_deploy.cli.tables.sign_notes import describe_zeros
from fdabnn_deploy.pipeline.report import Report


def print_report(console: Console, report: Report) -> None:
    """Prints everything but the stages, which were printed as they ended."""
    _print_coverage(console, report)
    _print_notes(console, report)
    print_inputs(console, report)
    print_grids(console, report)
    print_truth(console, report)
    print_gate(console, report)
    print_fidelity(console, report)
    print_parity(console, report)
    print_proofs(console, report)
    _print_layer_checks(console, report)
    _print_latency(console, report)
    if report.prices:
        _print_prices(console, report)
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
            (
                layer.module,
                layer.kind,
                "x".join(map(str, layer.weight_shape)),
                bits,
                " ".join(layer.codes),
                Text(why, "dim"),
            )
        )
    title = f"Layers: {binary} of {len(report.coverage)} are 1-bit, {expected} were expected to be; codes: docs/lint.md"
    print_table(console, title, ("layer", "kind", "weights", "", "codes", "why not 1-bit"), rows)


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


def _print_prices(console: Console, report: Report) -> None:
    """Every exact layer beside its float form; bytes as written, times estimated but for that of an exact file."""
    rows: list[tuple[str, ...]] = []
    for price in report.prices:
        rows += [
            (
                price.target,
                layer.module or layer.tensor,
                format_bytes(layer.exact_bytes),
                format_bytes(layer.float_bytes),
                _about(layer.exact_ms),
                _about(layer.float_ms),
            )
            for layer in price.layers
        ]
        measured = "" if price.exact_ms is None else f"{price.exact_ms:.2f} ms"
        sizes = format_bytes(price.exact_bytes), f"~{format_bytes(price.float_bytes)}"
        rows.append((price.target, "the whole file", *sizes, measured, _about(price.float_ms)))
    columns = ("file", "layer", "exact", "float form", "exact", "float form")
    title = "The price of exactness, beside --numerics float; ~ is estimated, each layer alone, 1 thread"
    print_table(console, title, columns, rows, right=(2, 3, 4, 5))


def _about(milliseconds: float | None) -> str:
    return (
        ""
        if milliseconds is None
        else f"~{milliseconds:.3f} ms"
        if milliseconds < 1
        else f"~{milliseconds:.2f} ms"
    )


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


def print_end(
    console: Console, report: Report, checkpoint: Path, options: str, json_path: Path | None
) -> None:
    """Prints the verdict, and the commands to go on with.

    Args:
        console: where to.
        report: of the export.
        checkpoint: that was exported.
        options: how it was read, as the user typed them.
        json_path: of the report, where one was written.
    """
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
