"""The output of `fdabnn-parity` for one comparison."""

from __future__ import annotations

import numpy as np
from rich.console import Console
from rich.text import Text

from fdabnn_deploy.cli.console import format_number, format_share, mark, print_table
from fdabnn_deploy.verify.comparison_report import ComparisonReport, LayerRow

_SHOWN_LAYERS = 12
_CHECKSUMS = {
    "changed": "has changed since its export: its checksum does not fit",
    "none": "has no checksum: it is an older file, or a tool that rewrote it dropped that",
}


def print_comparison(console: Console, result: ComparisonReport) -> None:
    """Prints everything but the verdict."""
    _print_outputs(console, result)
    _print_runtimes(console, result)
    if result.layers:
        _print_layers(console, result)


def comparison_mark(result: ComparisonReport) -> Text:
    """Green for the same bits only."""
    return Text("--", "yellow") if result.verdict in {"reported", "tolerated"} else mark(result.passed)


def _print_outputs(console: Console, result: ComparisonReport) -> None:
    if result.same_checkpoint is False:
        short = f"{result.a.checkpoint_sha256[:12]} and {result.b.checkpoint_sha256[:12]}"
        _note(console, f"the two come from different checkpoints ({short})")
    elif result.same_numerics is False and not result.not_judged:
        _note(console, "the two were exported with different numerics, chosen on different samples")
    for side in dict.fromkeys((result.a, result.b)):
        if side.checksum in _CHECKSUMS:
            _note(console, f"{side.path} {_CHECKSUMS[side.checksum]}")
    for note in dict.fromkeys((*result.changes, *result.a.notes, *result.b.notes, *result.samples.notes)):
        _note(console, note)
    rows: list[list[str | Text]] = []
    for letter, side in (("A", result.a), ("B", result.b)):
        accuracy = "" if side.accuracy is None else format_share(side.accuracy)
        rows.append([letter, side.path, side.numerics, f"{side.runtime} {side.version}", accuracy, side.what])
    columns = ["", "model", "numerics", "runtime", "accuracy" if result.samples.labelled else "", ""]
    print_table(console, f"Outputs on {result.samples.description}", columns, rows, right=(4,))
    found, agreement = result.comparison, result.agreement
    values: list[str | Text] = [
        comparison_mark(result),
        f"{found.differing} of {found.values}",
        format_number(found.zero_signs),
        format_number(found.max_ulps),
        format_number(found.max_abs),
        format_number(found.mean_abs),
        f"{agreement.same} of {agreement.images} ({format_share(agreement.share)})",
    ]
    columns = ["", "differing", "zero signs", "max ulps", "max abs", "mean abs", "same top-1"]
    print_table(console, "A against B", columns, [values], right=(1, 2, 3, 4, 5, 6))


def _print_runtimes(console: Console, result: ComparisonReport) -> None:
    rows: list[list[str | Text]] = []
    for row in result.runtimes:
        found = row.comparison
        sign = Text("--", "yellow") if found is None or not row.judged else mark(not row.failed)
        values = ["absent" if row.absent else "refused", "", ""]
        if found is not None:
            values = [
                f"{found.differing} of {found.values}",
                format_number(found.max_ulps),
                format_number(found.max_abs),
            ]
        rows.append([sign, row.path, f"{row.runtime} {row.version}".rstrip(), row.against, *values])
    if rows:
        columns = ["", "model", "runtime", "against", "differing", "max ulps", "max abs"]
        print_table(console, "The same file on other runtimes", columns, rows, right=(4, 5, 6))
    for row in result.runtimes:
        if row.refused or row.absent:
            _note(console, row.refused or f"not compared on {row.runtime}: {row.absent}")


def _note(console: Console, text: str) -> None:
    console.print()
    console.print(Text(f"note: {text}", "yellow"), soft_wrap=True)


def _print_layers(console: Console, result: ComparisonReport) -> None:
    differing = [row for row in result.layers if not row.comparison.equal]
    first = result.first_difference
    console.print()
    images = f"{len(result.layer_images)} inputs"
    if first is None:
        console.print(
            f"all {len(result.layers)} tensors that both have are equal, on {images}", soft_wrap=True
        )
        if not result.comparison.equal:
            _note(
                console,
                "the outputs differ all the same: seen from inside, a runtime fuses fewer operators; "
                "one that it fuses otherwise computes other bits",
            )
        return
    console.print(Text.assemble(("first difference: ", "bold"), _describe(first)), soft_wrap=True)
    rows = []
    for row in differing[:_SHOWN_LAYERS]:
        found = row.comparison
        rows.append(
            (
                row.layer,
                row.tensor,
                "x".join(map(str, row.shape)),
                f"{found.differing} of {found.values}",
                format_number(found.max_ulps),
                format_number(found.max_abs),
            )
        )
    more = len(differing) - len(rows)
    title = f"Inner tensors: {len(differing)} of {len(result.layers)} differ on {images}" + (
        f"; the first {len(rows)} are" if more else ""
    )
    columns = ("layer", "tensor", "shape", "differing", "max ulps", "max abs")
    print_table(console, title, columns, rows, right=(3, 4, 5))


def _describe(row: LayerRow) -> str:
    first = row.comparison.first
    assert first is not None
    where = ", ".join(map(str, first.index))
    layer = f"layer {row.layer}, " if row.layer else ""
    a, b = (
        f"{np.dtype(first.dtype).type(value)} ({bits})"
        for value, bits in ((first.a, first.a_bits), (first.b, first.b_bits))
    )
    return f"{layer}tensor {row.tensor}, index [{where}]: A {a}, B {b}"
