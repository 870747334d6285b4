"""`python tools/bench forms`: the price of exactness, and of float32 inputs, in time and in bytes, in turn with another commit's file."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from bench import commit as commits
from bench.cc import cache_folder
from bench.exports.networks import NAMES, checkpoint
from bench.measure import Contender, Row, named, pinned, ratio, run_interleaved
from fdabnn_deploy.cli.console import print_table
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.measure.timer import looped

EXACT, PIXELS, FLOAT = "exact, float32 in", "exact, pixels in", "float form, pixels in"
FORMS: dict[str, dict[str, str]] = {
    EXACT: {},
    PIXELS: {"input_format": "pixels"},
    FLOAT: {"input_format": "pixels", "numerics": "float"},
}
"""Options of an export."""

DOORS = {
    "tflite": "LiteRT + delegate",
    "packed": "ONNX Runtime, packed",
    "standard": "ONNX Runtime, standard",
}
"""How files are run."""

_SAMPLES = "random:2"
_MB = 1e6


@dataclass(frozen=True)
class Forms:
    """The files of one export, by door, and the delegate that runs the TFLite file."""

    name: str
    paths: dict[str, Path]
    delegate: Path | None = None


def exported(network: str, form: str, fresh: bool) -> Forms:
    """The files of a form, exported where they do not lie ready."""
    import fdabnn_deploy

    folder = cache_folder() / "forms" / network / form.replace(", ", "-").replace(" ", "-")
    paths = _paths(folder, network)
    if fresh or not all(path.is_file() for path in paths.values()):
        shutil.rmtree(folder, ignore_errors=True)
        options: dict[str, Any] = {"samples": _SAMPLES, "name": network, **FORMS[form]}
        source = checkpoint(network)
        fdabnn_deploy.export(source, targets="onnx", out=folder, kernels="packed", **options)
        (folder / f"{network}.onnx").replace(paths["packed"])
        fdabnn_deploy.export(source, targets="all", out=folder, **options)
    return Forms(form, paths)


def of_commit(network: str, commit: str) -> Forms:
    """The exact files that another commit's own program writes, and its own delegate.

    Raises:
        RuntimeMissingError: it cannot be installed, or its export fails.
    """
    programs = commits.install(commit)
    sha = commits.resolve(commit)
    folder = cache_folder() / "forms" / network / sha
    paths = _paths(folder, network)
    if not all(path.is_file() for path in paths.values()):
        for kernels in ("packed", "standard"):
            target = "onnx" if kernels == "packed" else "all"
            with tempfile.TemporaryDirectory(prefix="fdabnn-bench-") as work:
                command = [
                    *(str(programs / "fdabnn-export"), str(checkpoint(network)), "--target", target),
                    *("--kernels", kernels, "--samples", _SAMPLES, "--name", network, "--out", work),
                ]
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                if done.returncode:
                    raise RuntimeMissingError(f"the export of {sha[:7]} failed: {done.stderr.strip()[-300:]}")
                folder.mkdir(parents=True, exist_ok=True)
                shutil.move(Path(work, f"{network}.onnx"), paths[kernels])
                if target == "all":
                    shutil.move(Path(work, f"{network}.tflite"), paths["tflite"])
    libraries = programs.parents[1].rglob("native/lib/libfdabnn_delegate.so")
    return Forms(sha[:7], paths, next(libraries))


def _paths(folder: Path, network: str) -> dict[str, Path]:
    return {
        "tflite": folder / f"{network}.tflite",
        "packed": folder / f"{network}.packed.onnx",
        "standard": folder / f"{network}.onnx",
    }


def _contender(forms: Forms, door: str, pixels: Array, normalised: Array) -> Contender:
    """A session of a file, fed the same image."""
    path = forms.paths[door]
    if door == "tflite" and forms.delegate is not None:
        return Contender(forms.name, door, looped(_foreign(path, forms.delegate, normalised)))
    from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime
    from fdabnn_tflite.runtime.litert import LiteRtRuntime

    session = (LiteRtRuntime() if door == "tflite" else OnnxRuntime()).open(path)
    image = pixels if session.input_types[0] == np.uint8 else normalised
    prepared = session.native_inputs([image])
    return Contender(forms.name, door, looped(lambda: session.run_native(prepared)))


def _foreign(path: Path, delegate: Path, image: Array) -> Any:
    """A file on LiteRT with another delegate."""
    from ai_edge_litert.interpreter import Interpreter, load_delegate

    interpreter = Interpreter(str(path), experimental_delegates=[load_delegate(str(delegate))], num_threads=1)
    interpreter.allocate_tensors()
    place = interpreter.get_input_details()[0]["index"]
    stored = np.ascontiguousarray(image.transpose(0, 2, 3, 1))

    def run() -> None:
        interpreter.set_tensor(place, stored)
        interpreter.invoke()

    return run


def compare(
    network: str, against: str | None, rounds: int, cpus: Sequence[int], fresh: bool
) -> dict[str, Any]:
    """Times all forms of a network, door by door, each in turn."""
    from fdabnn_deploy.data.images import synthetic

    forms = [exported(network, form, fresh) for form in FORMS]
    if against is not None:
        forms.append(of_commit(network, against))
    size = (3, 224, 224) if network == "resnet18" else (3, 32, 32)
    pixels = synthetic(1, size)
    normalised = (pixels.astype(np.float32) / 255 - np.float32(0.5)) / np.float32(0.25)
    result: dict[str, Any] = {"name": network, "doors": {}}
    for door in DOORS:
        with pinned(cpus[:1]):
            rows = run_interleaved([_contender(f, door, pixels, normalised) for f in forms], rounds)
        result["doors"][door] = [
            {
                "form": form.name,
                "median_ms": _ms(row),
                "bytes": form.paths[door].stat().st_size,
                "time_of_exact": ratio(named(rows, EXACT), row),
                "time_of_float": ratio(named(rows, FLOAT), row),
                "time_of_commit": ratio(rows[-1], row) if against is not None else None,
            }
            for form, row in zip(forms, rows, strict=True)
        ]
    return result


def _ms(row: Row) -> float:
    assert row.timing is not None
    return row.timing.median / 1000


def show(console: Console, result: dict[str, Any], against: str | None) -> None:
    """One table per door."""
    for door, rows in result["doors"].items():
        commit = [] if against is None else [f"faster than {against[:7]}"]
        columns = ["form", "one image", "file", "faster than exact float32", "than the float form", *commit]
        body = [
            [
                row["form"],
                f"{row['median_ms']:.2f} ms",
                f"{row['bytes'] / _MB:.2f} MB",
                f"{row['time_of_exact']:.2f} x",
                f"{row['time_of_float']:.2f} x",
                *([] if against is None else [f"{row['time_of_commit']:.2f} x"]),
            ]
            for row in rows
        ]
        print_table(
            console, f"{result['name']}, {DOORS[door]}", columns, body, right=tuple(range(1, len(columns)))
        )


@click.command("forms")
@click.option("--against", metavar="COMMIT", help="install this commit, and time its exact file, too")
@click.option("--only", "names", multiple=True, help=f"{' or '.join(NAMES)}; repeatable")
@click.option("--rounds", default=40, show_default=True, type=click.IntRange(2), help="samples of each")
@click.option("--fresh", is_flag=True, help="export again, for a changed exporter")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="folder of forms.json")
def command(against: str | None, names: tuple[str, ...], rounds: int, fresh: bool, out: Path | None) -> None:
    """Exact and float forms, of pixels and of float32: time of one image on one thread, and bytes."""
    import os

    from bench import environment, report
    from fdabnn_deploy.cli.console import make_console

    if unknown := set(names) - set(NAMES):
        raise UsageError(f"no network is called {', '.join(sorted(unknown))}: known are {', '.join(NAMES)}")
    console = make_console()
    cpus = sorted(os.sched_getaffinity(0), reverse=True)
    before, facts = environment.busy(), environment.describe(cpus)
    results = []
    for name in NAMES:
        if not names or name in names:
            results.append(compare(name, against, rounds, cpus, fresh))
            show(console, results[-1], against)
    disturbed = report.disturbance(before, environment.busy(), facts["load"][0], facts["cpu_count"] or 1)
    console.print(f"  {disturbed['stolen_share']:.1%} of the time went to other machines", style="dim")
    if out is not None:
        settings = {"rounds": rounds, "against": against}
        report.write(out / "forms.json", report.record("forms", facts, settings, disturbed, results))
        console.print(f"\n  {out / 'forms.json'}", soft_wrap=True)
