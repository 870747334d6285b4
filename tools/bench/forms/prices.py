"""`python tools/bench prices`: how far the times that an export estimates for its table of prices are from measured ones.

Both are times of the processor on one thread, which other programs hardly make longer, and those of the fastest run, or round.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench.exports.networks import NAMES, checkpoint
from bench.forms.forms import DOORS, FLOAT, PIXELS, exported
from bench.measure import Contender, named, pinned, run_interleaved
from fdabnn_deploy.cli.console import print_table
from fdabnn_deploy.data.images import synthetic
from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.frontend import checkpoint as checkpoints
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.measure.layer_prices import Forms, Pricer, alone, inputs_of, price_file, price_layers
from fdabnn_deploy.measure.timer import elapsed
from fdabnn_deploy.pipeline import pixel_inputs
from fdabnn_deploy.pipeline.form import Form
from fdabnn_deploy.pipeline.prices import forms_of
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.targets.converter import ConvertOptions, Kernels
from fdabnn_deploy.targets.installed import find_target
from fdabnn_deploy.transforms.deploy import deploy

ALLOWED = 0.2
"""By which an estimate may be off."""

SMALL = 0.02
"""Layers that take less of the whole file than this share are listed and not judged: an invocation takes as long."""

_SECONDS = 60.0


@dataclass(frozen=True)
class Compared:
    """A time: estimated and measured, in milliseconds; `judged` says whether it is long enough for its ratio to mean anything."""

    name: str
    form: str
    estimated: float
    measured: float
    judged: bool

    @property
    def off(self) -> float:
        """The relative error of the estimate."""
        return self.estimated / self.measured - 1 if self.measured else 0.0


def network_forms(name: str) -> tuple[Forms, ModelInfo]:
    """Both forms of a network that takes pixels."""
    network = pixel_inputs.with_format(checkpoints.read(checkpoint(name)), "pixels", "rgb", "nchw")
    plain = deploy(capture(network.module, network.info.input_shape, without_softmax=True), exact=True)
    taken = pixel_inputs.take(plain, network.info, exact=True)
    exact = make_exact(taken.graph, [synthetic(2, network.info.input_shape)], dict(network.ranges))
    form = Form(exact.graph, exact.composed, exact.numerics, exact.grids)
    return forms_of(form, plain.graph, network.info), network.info


def _contender(name: str, session: Session, image: Any) -> Contender:
    prepared = session.native_inputs(image)

    def seconds(calls: int) -> float:
        return elapsed(lambda: session.run_native(prepared), calls).processor

    return Contender(name, "ours", seconds)


def _measured(forms: Forms, pricer: Pricer, rounds: int) -> dict[tuple[str, str], float]:
    """Milliseconds per layer and form, all files in turn."""
    contenders: list[Contender] = []
    floors: dict[tuple[str, str], str] = {}
    for name, _ in forms.layers:
        for form, graph in (("exact", forms.exact), ("float", forms.floats)):
            part = alone(graph, name, forms.original)
            image = inputs_of(part)
            floor = pricer.floor_of(image)
            floors[name, form] = floor_name = f"floor {inputs_of(floor)[0].nbytes}"
            if all(floor_name != each.name for each in contenders):
                contenders.append(_contender(floor_name, pricer.open(pricer.write(floor)), inputs_of(floor)))
            contenders.append(_contender(f"{form} {name}", pricer.open(pricer.write(part)), image))
    rows = run_interleaved(contenders, rounds)

    def calm(name: str) -> float:
        row = named(rows, name)
        assert row is not None
        assert row.timing is not None
        return row.timing.best / 1000

    return {
        (name, form): max(calm(f"{form} {name}") - calm(floor), 0.0) for (name, form), floor in floors.items()
    }


def _whole(name: str, door: str, rounds: int) -> tuple[float, float]:
    """Milliseconds of the exact file and of the float form's, in turn."""
    pixels = None
    contenders = []
    for form in (PIXELS, FLOAT):
        path = exported(name, form, fresh=False).paths[door]
        session = registry.for_file(path).open(path)
        pixels = synthetic(1, session.input_shapes[0]) if pixels is None else pixels
        contenders.append(_contender(form, session, [pixels]))
    exact, floats = (row.timing.best / 1000 for row in run_interleaved(contenders, rounds) if row.timing)
    return exact, floats


def compare(name: str, door: str, rounds: int, cpus: Sequence[int]) -> list[Compared]:
    """Every layer in both forms, and the float form of the whole file."""
    forms, info = network_forms(name)
    target = find_target("tflite" if door == "tflite" else "onnx")
    kernels: Kernels = "packed" if door == "packed" else "standard"
    runtime = registry.for_file(Path(f"x{target.suffix}"))
    with tempfile.TemporaryDirectory(prefix="fdabnn-bench-") as folder, pinned(cpus[:1]):
        pricer = Pricer(target, runtime, info, ConvertOptions(kernels=kernels), Path(folder))
        estimated = price_layers(forms, pricer, _SECONDS)
        measured = _measured(forms, pricer, rounds)
        exact, floats = _whole(name, door, rounds)
    rows = []
    for layer in estimated:
        for form, milliseconds in (("exact", layer.exact_ms), ("float", layer.float_ms)):
            assert milliseconds is not None
            found = measured[layer.tensor, form]
            rows.append(
                Compared(layer.module or layer.tensor, form, milliseconds, found, found > SMALL * exact)
            )
    whole = price_file(door, runtime.name, 0, exact, estimated)
    assert whole.float_ms is not None
    return [*rows, Compared("the whole file", "float", whole.float_ms, floats, True)]


def show(console: Console, title: str, rows: Sequence[Compared]) -> None:
    """A line per layer and form."""
    body = [
        (
            row.name,
            row.form,
            f"~{row.estimated:.3f} ms",
            f"{row.measured:.3f} ms",
            f"{row.off:+.0%}" if row.judged else "",
        )
        for row in rows
    ]
    print_table(console, title, ("layer", "form", "estimated", "measured", "off"), body, right=(2, 3, 4))
    judged = [abs(row.off) for row in rows if row.judged]
    good = sum(off <= ALLOWED for off in judged)
    console.print(f"  {good} of {len(judged)} within {ALLOWED:.0%}", style="dim")


@click.command("prices")
@click.option("--only", "names", multiple=True, help=f"{' or '.join(NAMES)}; repeatable")
@click.option("--door", "doors", multiple=True, help=f"{' or '.join(DOORS)}; repeatable")
@click.option("--rounds", default=40, show_default=True, type=click.IntRange(2), help="samples of each")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="folder of prices.json")
def command(names: tuple[str, ...], doors: tuple[str, ...], rounds: int, out: Path | None) -> None:
    """The times in an export's table of prices, estimated in milliseconds, beside measured ones."""
    from bench import environment, report
    from fdabnn_deploy.cli.console import make_console

    for given, known in ((names, NAMES), (doors, tuple(DOORS))):
        if unknown := set(given) - set(known):
            raise UsageError(f"{', '.join(sorted(unknown))} is not known: known are {', '.join(known)}")
    console = make_console()
    cpus = sorted(os.sched_getaffinity(0), reverse=True)
    before, facts = environment.busy(), environment.describe(cpus)
    results = []
    for name in names or NAMES:
        for door in doors or DOORS:
            rows = compare(name, door, rounds, cpus)
            show(console, f"{name}, {DOORS[door]}", rows)
            results.append({"name": name, "door": door, "rows": [vars(row) for row in rows]})
    disturbed = report.disturbance(before, environment.busy(), facts["load"][0], facts["cpu_count"] or 1)
    console.print(f"  {disturbed['stolen_share']:.1%} of the time went to other machines", style="dim")
    if out is not None:
        report.write(
            out / "prices.json", report.record("prices", facts, {"rounds": rounds}, disturbed, results)
        )
        console.print(f"\n  {out / 'prices.json'}", soft_wrap=True)
