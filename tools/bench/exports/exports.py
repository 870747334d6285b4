"""`python tools/bench exports`: time, stages and memory of exports, in turn with another commit's."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import commit as commits
from bench.exports.networks import NAMES, checkpoint
from bench.exports.one_export import Contender, Export, ExportFailedError, medians, run
from fdabnn_deploy.cli.console import print_table
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.measure.statistics import median

TODAY = "checkout"
_MB = 1e6


def compare(name: str, contenders: Sequence[Contender], rounds: int, samples: str) -> dict[str, Any]:
    """Exports a network by every contender in turn, `rounds` times, after one round that is not counted.

    The first round of each fills the file cache, and compiles what a commit compiles at its first use.

    Raises:
        RuntimeMissingError: a contender cannot export it.
    """
    path = checkpoint(name)
    try:
        for contender in contenders:
            run(contender, path, samples)
        taken = [[run(contender, path, samples) for contender in contenders] for _ in range(rounds)]
    except ExportFailedError as error:
        raise RuntimeMissingError(str(error)) from None
    by_contender = list(zip(*taken, strict=True))
    return {
        "name": name,
        "rows": [
            {"contender": contender.name, **asdict(medians(exports)), "samples": [e.seconds for e in exports]}
            for contender, exports in zip(contenders, by_contender, strict=True)
        ],
        "ratios": [ratio(by_contender[0], exports) for exports in by_contender],
    }


def ratio(ours: Sequence[Export], theirs: Sequence[Export]) -> float:
    """Our seconds over theirs: the median of the ratios of the rounds."""
    return median([a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True)])


def show(console: Console, result: dict[str, Any]) -> None:
    """Prints the whole times, and the share of each stage."""
    rows = result["rows"]
    body = [
        [
            row["contender"],
            f"{row['seconds']:.2f} s",
            f"{row['peak_bytes'] / _MB:.0f} MB",
            ", ".join(f"{suffix} {size / _MB:.2f} MB" for suffix, size in sorted(row["bytes"].items())),
            f"{value:.2f} x",
        ]
        for row, value in zip(rows, result["ratios"], strict=True)
    ]
    columns = ["commit", "whole export", "peak of memory", "files", "checkout's time / its"]
    print_table(console, f"Export of {result['name']} to ONNX and TFLite", columns, body, right=(1, 2, 4))
    names = list(dict.fromkeys(name for row in rows for name in row["stages"]))
    shares = [[name, *(_stage(row, name) for row in rows)] for name in names]
    print_table(
        console,
        "Stages",
        ["stage", *(row["contender"] for row in rows)],
        shares,
        right=tuple(range(1, len(rows) + 1)),
    )


def _stage(row: dict[str, Any], name: str) -> str:
    seconds = row["stages"].get(name)
    return "-" if seconds is None else f"{seconds:.2f} s {seconds / row['seconds']:4.0%}"


@click.command("exports")
@click.option("--against", metavar="COMMIT", help="install and measure this commit beside the checkout")
@click.option("--only", "names", multiple=True, help=f"{' or '.join(NAMES)}; repeatable")
@click.option("--samples", default="random:200", show_default=True, help="inputs to verify on")
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1), help="exports of each that count"
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="folder of exports.json")
def command(against: str | None, names: tuple[str, ...], samples: str, rounds: int, out: Path | None) -> None:
    """Whole exports to both targets: time by stage and peak of memory, in turn with another commit's."""
    from bench import environment, report
    from fdabnn_deploy.cli.console import make_console

    if unknown := set(names) - set(NAMES):
        raise UsageError(f"no network is called {', '.join(sorted(unknown))}: known are {', '.join(NAMES)}")
    console = make_console()
    contenders = [Contender(TODAY, Path(sys.executable).parent)]
    if against is not None:
        console.print(f"  installing {against}", style="dim")
        contenders.append(Contender(commits.resolve(against)[:7], commits.install(against)))
    before, facts = environment.busy(), environment.describe([0])
    results = [compare(name, contenders, rounds, samples) for name in NAMES if not names or name in names]
    for result in results:
        show(console, result)
    disturbed = report.disturbance(before, environment.busy(), facts["load"][0], facts["cpu_count"] or 1)
    console.print(f"  {disturbed['stolen_share']:.1%} of the time went to other machines", style="dim")
    if out is not None:
        settings = {"rounds": rounds, "samples": samples, "against": against}
        report.write(out / "exports.json", report.record("exports", facts, settings, disturbed, results))
        console.print(f"\n  {out / 'exports.json'}", soft_wrap=True)
