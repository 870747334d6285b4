"""The tables of `fdabnn-export` about exactness: grids, truth to the trained network, parity, proofs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from fdabnn_deploy.cli.console import format_number, format_share, mark, print_table
from fdabnn_deploy.pipeline.report import ParityRow, Report
from fdabnn_deploy.prove import Kind
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.verify.gate.results import SAME_ACCURACY

_EXECUTORS = {"torch": "PyTorch", "reference": "NumPy reference"}
_KINDS: tuple[Kind, ...] = ("exact integer", "exact sum", "pointwise", "sign", "moves values", "unproved")
_AT_MOST = 3


def runtime_title(name: str) -> str:
    """How tables call a runtime or an executor of the graph."""
    return {**registry.titles(), **_EXECUTORS}.get(name, name)


def print_inputs(console: Console, report: Report) -> None:
    """Prints the input contract: the normalisation of pixels, and the limits of the inputs with their source."""
    parts = []
    model, limits = report.model, report.input_limits
    if model.mean is not None and model.std is not None:
        mean, std = (", ".join(f"{value:.6g}" for value in values) for values in (model.mean, model.std))
        parts.append(f"(pixel / 255 - mean) / std, with mean {mean} and std {std}")
    if limits is not None:
        parts.append(f"limited to {limits.low:g} .. {limits.high:g}: from {limits.source}")
    if parts:
        console.print()
        style = "" if limits is None or limits.known else "yellow"
        console.print(Text(f"Inputs: {'; '.join(parts)}", style), soft_wrap=not console.is_terminal)


def print_grids(console: Console, report: Report) -> None:
    """The grids of exact numerics."""
    rows = [
        (
            grid.module or grid.tensor,
            grid.kind,
            f"{grid.low:g} .. {grid.high:g}",
            f"2^{-grid.exponent}",
            str(grid.parts),
            "" if grid.weight_bits is None else str(grid.weight_bits),
            "" if grid.clipped is None else format_share(grid.clipped) if grid.clipped else "none",
        )
        for grid in report.numerics.grids
    ]
    if rows:
        columns = ("reduction", "kind", "operand kept", "grid", "sums", "weight bits", "clipped")
        title = "Numerics: exact; sums of floats are carried out on grids, where no order of summation rounds"
        print_table(console, title, columns, rows, right=(2, 3, 4, 5, 6))


def print_truth(console: Console, report: Report) -> None:
    """The table of changes against the trained network."""
    truth = report.truth
    agreement, compared, whole = truth.agreement, truth.comparison, truth.output_range or 1.0
    rows = [
        ("same top-1", f"{agreement.same} of {agreement.images} ({format_share(agreement.share)})"),
        (
            "mean change of an output",
            f"{compared.mean_abs:.2g} ({compared.mean_abs / whole:.3%} of their range)",
        ),
        ("largest change", f"{compared.max_abs:.2g} ({compared.max_abs / whole:.3%})"),
    ]
    if truth.accuracy_trained is not None and truth.accuracy_deployed is not None:
        rows.append(
            ("accuracy", f"{format_share(truth.accuracy_trained)} → {format_share(truth.accuracy_deployed)}")
        )
    title = f"The deployed graph against the trained network, on {report.samples.description}"
    print_table(console, title, ("", ""), rows)


def print_gate(console: Console, report: Report) -> None:
    """Whether the deployed graph is the trained network, layer by layer and as a whole; the layers that are not, one line each."""
    rows: list[tuple[str | Text, ...]] = []
    table = report.gate.layers
    for kind in ("sign", "binary layer", "float layer", "values"):
        layers = [layer for layer in table.layers if layer.kind == kind]
        if layers:
            good = sum(layer.passed for layer in layers)
            values, differing = (
                sum(getattr(layer, what) for layer in layers) for what in ("values", "differing")
            )
            rows.append(
                (
                    mark(good == len(layers)),
                    _PLURALS[kind],
                    f"{good} of {len(layers)} true",
                    f"{differing} of {values}",
                )
            )
    for output in report.gate.outputs:
        sign = Text("--", "yellow") if output.limit is None else mark(output.passed)
        limit = "not judged" if output.limit is None else f"{format_share(output.limit)} may"
        moved = (
            ""
            if output.arithmetic is None
            else f"; arithmetic itself moves {format_share(output.arithmetic)}"
        )
        what = "decisions" if output.judged_by == "decisions" else f"{output.name}, mean change"
        rows.append((sign, what, f"{limit}{moved}", format_share(output.change)))
    title = f"The gate: every layer alone against the trained network in float64, on {table.images} inputs, and the whole"
    print_table(console, title, ("", "", "", "differing"), rows, right=(3,))
    if table.not_compared:
        console.print(
            Text(f"  {table.not_compared} signs were compared by what is computed from them"), soft_wrap=True
        )
    for failure in (*report.gate.failures[:_AT_MOST],):
        console.print(Text(f"  {failure}", "yellow" if report.allowed_changes else "red"), soft_wrap=True)


_PLURALS = {
    "sign": "signs",
    "binary layer": "binary layers",
    "float layer": "float layers",
    "values": "other tensors",
}


def print_fidelity(console: Console, report: Report) -> None:
    """With `--fidelity accuracy`: the slices of every layer, and the test of the accuracy."""
    found = report.fidelity
    if found is None:
        return
    layers = [
        (
            layer.tensor,
            f"{layer.full.sums} → {layer.few.sums}",
            f"{layer.full.weight_slices} → {layer.few.weight_slices}",
            f"{layer.full.weight_bits} → {layer.few.weight_bits}",
        )
        for layer in found.layers
    ]
    columns = ("layer", "sums", "slices of weights", "weight bits")
    print_table(console, f"Fewer slices: {SAME_ACCURACY}", columns, layers, right=(1, 2, 3))
    halves = (("chosen on", found.chosen), ("tested on", found.tested))
    rows = [
        (
            what,
            f"{pairs.images} images",
            f"{pairs.lost} lost, {pairs.gained} gained",
            f"{pairs.drop:+.2f} points",
            f"{pairs.bound:.2f} points",
        )
        for what, pairs in halves
    ]
    title = f"Accuracy lost, with {found.confidence:.0%} confidence less than {found.max_drop:g} points"
    print_table(console, title, ("", "labelled", "pairs", "estimate", "at most"), rows, right=(1, 2, 3, 4))


def print_parity(console: Console, report: Report) -> None:
    """Files on runtimes: a line per file and runtime, one for all other settings of it together, one per further form of the file."""
    exact = report.numerics.mode == "exact"
    rows: list[tuple[str | Text, ...]] = []
    rows += [_parity_cells(_label(group), group) for group in _grouped(report.parity)]
    for row in report.absent:
        absent = Text("--", "yellow"), runtime_title(row.runtime), "absent"
        rows.append((*absent, *[""] * 5))
    columns = ["", "runtime", "inputs", "differing", "max ulps", "max abs", "same top-1", "accuracy"]
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    network = "the deployed graph on PyTorch" if exact or report.allowed_changes else "the trained network"
    title = f"Parity {'by bits' if exact else 'of decisions'} with {network}"
    print_table(console, title, columns, rows, right=range(2, len(columns)))
    zeros = sum(row.comparison.zero_signs for row in report.parity)
    if zeros:
        console.print(Text(f"  {zeros} zeros had another sign, which counts as equal"), soft_wrap=True)
    for row in report.absent:
        where = f"{row.target} on {runtime_title(row.runtime)}"
        console.print(Text(f"  {where} was not checked: {row.reason}", "yellow"), soft_wrap=True)


def _grouped(rows: Iterable[ParityRow]) -> list[list[ParityRow]]:
    """Per file and runtime the default setting, then the others; then per further form of the file all of it."""
    groups: dict[tuple[str | None, str, str, bool], list[ParityRow]] = {}
    for row in rows:
        runtime = "" if row.form else row.runtime
        for default in (True, False):
            groups.setdefault((row.target, row.form, runtime, default), [])
        groups[row.target, row.form, runtime, not (row.setting or row.form)].append(row)
    return [group for group in groups.values() if group]


def _label(group: Sequence[ParityRow]) -> str:
    first, count = group[0], len(group)
    if first.form:
        return f"  {first.form}, {count} setting{'s' * (count != 1)}"
    if first.target is None:
        settings = " and ".join(row.setting for row in group)
        return f"{runtime_title(first.runtime)}, {settings}" if settings else runtime_title(first.runtime)
    if first.setting:
        return f"  {count} other settings"
    return f"{runtime_title(first.runtime)} {first.version.partition('+')[0]}"


def _parity_cells(label: str, group: Sequence[ParityRow]) -> tuple[str | Text, ...]:
    values = sum(row.comparison.values for row in group)
    differing = sum(row.comparison.differing for row in group)
    same = sum(row.agreement.same for row in group)
    images = sum(row.images for row in group)
    accuracy = group[0].accuracy if len(group) == 1 and not group[0].setting and group[0].target else None
    return (
        mark(all(row.passed for row in group)),
        label,
        str(group[0].images),
        f"{differing} of {values}",
        format_number(max(row.comparison.max_ulps for row in group)),
        format_number(max(row.comparison.max_abs for row in group)),
        f"{same} of {images}",
        "" if accuracy is None else format_share(accuracy),
    )


def print_proofs(console: Console, report: Report) -> None:
    """A line per proved form of a file: how many operators of each class, and the fewest bits of room."""
    rows = []
    for proof in report.proofs:
        counts = Counter(row.kind for row in proof.rows)
        rooms = [row.room_bits for row in proof.rows if row.room_bits is not None]
        rows.append(
            (
                mark(proof.proved),
                f"{proof.target}{', ' + proof.form if proof.form else ''}",
                f"{min(rooms):.2f} bits" if rooms else "",
                ", ".join(f"{counts[kind]} {kind}" for kind in _KINDS if counts[kind]),
            )
        )
    if rows:
        title = (
            "Proofs from the finished files: no order of summation, fusion or contraction can change a bit"
        )
        print_table(console, title, ("", "file", "least room", "operators"), rows, right=(2,))
    for proof in report.proofs:
        for failure in proof.failures[:_AT_MOST]:
            console.print(Text(f"  {failure}", "red"), soft_wrap=True)
