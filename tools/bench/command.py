"""The command line: what to time, where to write."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench import environment, report
from bench.cc import CompileError
from bench.exports import exports
from bench.forms import forms, prices
from bench.layers import LAYERS
from bench.model_files import MODELS
from bench.stem import stem
from bench.training import training
from fdabnn_deploy.cli.console import make_console
from fdabnn_deploy.cli.run import run_command
from fdabnn_deploy.errors import RuntimeMissingError, UsageError

RESULTS = Path(__file__).parent / "results"


def run(args: Sequence[str] | None = None) -> int:
    """Runs the command line and gives back its exit code; errors become one line."""
    return run_command(_main, "bench", args)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, expose_value=False, help="show tracebacks")
def _main() -> None:
    """Times the native kernels and whole models against their peers, in turn, and writes a table, JSON and a plot."""


_options = [
    click.option("--rounds", type=click.IntRange(2), default=40, show_default=True, help="samples of each"),
    click.option("--cpu", type=int, help="the processor to run on [default: the last one]"),
    click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=RESULTS,
        help="folder of the results [default: tools/bench/results]",
    ),
]


def _with_options(command: Any) -> Any:
    for option in reversed(_options):
        command = option(command)
    return command


@_main.command("layers")
@click.option("--only", "names", multiple=True, help="a layer by its name, such as 28x28x128; repeatable")
@click.option("--peers/--no-peers", default=True, show_default=True, help="time the other runtimes too")
@_with_options
def _layers(names: tuple[str, ...], peers: bool, rounds: int, cpu: int | None, out: Path) -> None:
    """Single binary convolutions: peaks, our kernels, LCE, float32 and int8 convolutions."""
    _check_names("layer", names, [layer.name for layer in LAYERS])
    chosen = [layer for layer in LAYERS if not names or layer.name in names]
    bench = _Bench.start(cpu)
    from bench.layer_bench import PEERS, run_layer

    console, cpus, results = bench.console, bench.cpus, []
    for layer in chosen:
        console.print(f"  {layer.name}", style="dim")
        results.append(run_layer(layer, cpus, rounds, PEERS if peers else ()))
    report.print_layers(console, results)
    report.print_untimed(console, [(result.layer.name, [*result.rows, *result.pairs]) for result in results])
    report.print_goals(console, [(result.layer.name, goal) for result in results for goal in result.goals])
    bench.write(out, "layers", {"rounds": rounds, "peers": peers}, [result.record() for result in results])


@_main.command("models")
@click.option("--only", "names", multiple=True, help="a model by its name, such as resnet18; repeatable")
@click.option(
    "--operators/--no-operators", default=True, show_default=True, help="time the operators alone too"
)
@click.option("--fresh", is_flag=True, help="export the models again, for a changed exporter")
@_with_options
def _models(
    names: tuple[str, ...], operators: bool, fresh: bool, rounds: int, cpu: int | None, out: Path
) -> None:
    """Whole networks: LiteRT and TensorFlow Lite with the delegate, LCE's interpreter, ONNX Runtime."""
    _check_names("model", names, [model.name for model in MODELS])
    bench = _Bench.start(cpu)
    from bench.model_bench import run_model

    console, cpus, results = bench.console, bench.cpus, []
    for model in MODELS:
        if not names or model.name in names:
            console.print(f"  {model.name}", style="dim")
            results.append(run_model(model, cpus, rounds, operators=operators, fresh=fresh))
    report.print_models(console, results)
    untimed = [(result.name, result.rows) for result in results]
    untimed += [(each.name, each.rows) for result in results for each in result.operators]
    report.print_untimed(console, untimed)
    report.print_goals(console, [(result.name, goal) for result in results for goal in result.goals])
    bench.write(
        out, "models", {"rounds": rounds, "operators": operators}, [result.record() for result in results]
    )


_main.add_command(training.command)
_main.add_command(exports.command)
_main.add_command(forms.command)
_main.add_command(stem.command)
_main.add_command(prices.command)


def _cpus(first: int | None) -> list[int]:
    """The processor for one thread, and another for two; the last ones, because the first serves interrupts."""
    allowed = sorted(os.sched_getaffinity(0), reverse=True)
    if first is None:
        return allowed[:2]
    if first not in allowed:
        raise UsageError(f"no processor {first}: {', '.join(map(str, sorted(allowed)))} may be used")
    return [first, *(cpu for cpu in allowed if cpu != first)][:2]


def _prepare() -> None:
    """Finds out before anything is timed what is missing, and silences the deprecations of the peers.

    Raises:
        RuntimeMissingError: there is no compiler or no matplotlib.
    """
    warnings.simplefilter("ignore")
    if importlib.util.find_spec("matplotlib") is None:
        raise RuntimeMissingError("the plot needs matplotlib: install it with  pip install -e '.[bench]'")
    from bench import cc

    try:
        cc.library()
    except CompileError as error:
        raise RuntimeMissingError(str(error)) from None


def _check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    if unknown := set(names) - set(known):
        raise UsageError(f"no {what} is called {', '.join(sorted(unknown))}: known are {', '.join(known)}")


@dataclass(frozen=True)
class _Bench:
    """The setting of a benchmark: the processors to run on, the console, and the state of the machine before."""

    console: Console
    cpus: list[int]
    before: Any
    facts: dict[str, Any]
    quiet: tuple[float, int]

    @classmethod
    def start(cls, cpu: int | None) -> _Bench:
        """Looks at what is needed, and at the machine."""
        cpus = _cpus(cpu)
        _prepare()
        console = make_console()
        before, facts = environment.busy(), environment.describe(cpus)
        return cls(console, cpus, before, facts, _warn(console, facts))

    def write(self, out: Path, name: str, settings: dict[str, Any], results: list[dict[str, Any]]) -> None:
        """Writes the results as JSON and as a plot."""
        disturbed = report.disturbance(self.before, environment.busy(), *self.quiet)
        _write(self.console, out, name, report.record(name, self.facts, settings, disturbed, results))


def _warn(console: Console, facts: dict[str, Any]) -> tuple[float, int]:
    load, cpus = facts["load"][0], facts["cpu_count"] or 1
    if load / cpus > report.QUIET_LOAD:
        console.print(f"  the machine is not quiet (load {load:.1f}): times will be too long", style="yellow")
    return load, cpus


def _write(console: Console, out: Path, name: str, content: dict[str, Any]) -> None:
    path = out / f"{name}.json"
    report.write(path, content)
    from bench.plot import plot_layers, plot_models

    draw = plot_layers if name == "layers" else plot_models
    draw(content, path.with_suffix(".svg"))
    console.print(f"\n  {path}\n  {path.with_suffix('.svg')}", soft_wrap=True)
