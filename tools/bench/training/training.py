"""Training speed: the fused passes against PyTorch's compiler, in one process and in two ranks, float32 and bfloat16, in turn.

Every setting's processes are started once and wait; a round gives each a few steps while the others stand still. Compilation is in the
steps before the first round, which are not counted.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console

from fdabnn_deploy.cli.console import print_table
from fdabnn_deploy.measure import timer
from fdabnn_deploy.measure.statistics import median

FORMS = ("compiled", "fused")
FLOPS_PER_MAC = 2
# A training step multiplies three times as often as inference: forward, gradient of the input, gradient of the weight.
PASSES = 3


@dataclass(frozen=True)
class Setting:
    """How a network is trained: `form` is compiled (torch.compile) or fused; `ranks` processes of `threads` threads."""

    form: str
    ranks: int
    threads: int
    amp: bool

    @property
    def name(self) -> str:
        """As tables call it."""
        shape = f"{self.ranks} ranks" if self.ranks > 1 else f"1 process, {self.threads} threads"
        return f"{self.form}, {shape}, {'bfloat16' if self.amp else 'float32'}"


def settings(cpus: int) -> list[Setting]:
    """All forms on so many processors."""
    shapes = [(1, cpus)] if cpus == 1 else [(1, cpus), (cpus, 1)]
    return [Setting(form, *shape, amp) for form in FORMS for shape in shapes for amp in (False, True)]


class Processes:
    """The waiting processes of a setting."""

    def __init__(self, setting: Setting, arch: str, batch: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        arguments = [arch, str(batch), setting.form, "amp" if setting.amp else "float", str(setting.threads)]
        command = [sys.executable, "-m", "bench.training.worker", *arguments]
        self.running = []
        for rank in range(setting.ranks):
            environment = {
                **os.environ,
                "OMP_NUM_THREADS": str(setting.threads),
                "PYTHONPATH": os.pathsep.join(
                    [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
                ),
            }
            if setting.ranks > 1:
                group = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": setting.ranks, "MASTER_PORT": port}
                environment |= {
                    "MASTER_ADDR": "127.0.0.1",
                    **{key: str(value) for key, value in group.items()},
                }
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            self.running.append(process)

    def train(self, steps: int) -> tuple[float, float]:
        """Seconds that so many steps took, by the clock (the slowest rank) and of the processors (all ranks)."""
        for process in self.running:
            assert process.stdin is not None
            process.stdin.write(f"{steps}\n")
            process.stdin.flush()
        answers = []
        for process in self.running:
            assert process.stdout is not None
            answers.append(json.loads(process.stdout.readline()))
        return max(answer["wall"] for answer in answers), sum(answer["cpu"] for answer in answers)

    def end(self) -> None:
        """End them."""
        for process in self.running:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.running:
            process.wait(timeout=60)


def peak_flops(*, bfloat16: bool, seconds: float = 0.3) -> float:
    """Floating point operations per second of one core in a large matrix product."""
    size, threads = 1024, torch.get_num_threads()
    torch.set_num_threads(1)
    a = torch.randn(size, size, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    best = min(timer.sample(lambda: a @ a, seconds))
    torch.set_num_threads(threads)
    return FLOPS_PER_MAC * size**3 / best


def multiplications(arch: str) -> int:
    """Multiply-adds of an image forward, counted by PyTorch's own counter."""
    from torch.utils.flop_counter import FlopCounterMode

    from fdabnn_models.architectures.registry import find_architecture
    from fdabnn_models.data.cifar10 import IMAGE

    with FlopCounterMode(display=False) as counter:
        find_architecture(arch)(num_classes=10).eval()(torch.zeros(1, *IMAGE))
    return int(counter.get_total_flops()) // FLOPS_PER_MAC


def run(arch: str, batch: int, rounds: int, steps: int, cpus: int) -> list[dict[str, Any]]:
    """A row per setting: images per second by the clock and per processor second, medians over the rounds."""
    chosen = settings(cpus)
    processes = [Processes(setting, arch, batch) for setting in chosen]
    try:
        for each in processes:
            each.train(2)
        taken = [[each.train(steps) for each in processes] for _ in range(rounds)]
    finally:
        for each in processes:
            each.end()
    flops = PASSES * FLOPS_PER_MAC * multiplications(arch)
    peaks = {amp: peak_flops(bfloat16=amp) for amp in (False, True)}
    rows = []
    for index, setting in enumerate(chosen):
        walls = [batch * steps / values[index][0] for values in taken]
        per_core = [batch * steps / values[index][1] for values in taken]
        rows.append(
            {
                **asdict(setting),
                "name": setting.name,
                "images_per_second": median(walls),
                "images_per_processor_second": median(per_core),
                "share_of_peak": median(per_core) * flops / peaks[setting.amp],
                "samples": walls,
                "processor_samples": per_core,
            }
        )
    return rows


def ratios(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Best fused over best compiled, round by round: the median by the clock and by processor time."""
    return {
        key: median(
            [
                max(row[key][i] for row in rows if row["form"] == "fused")
                / max(row[key][i] for row in rows if row["form"] == "compiled")
                for i in range(len(rows[0][key]))
            ]
        )
        for key in ("samples", "processor_samples")
    }


def show(console: Console, rows: Sequence[dict[str, Any]]) -> None:
    """Prints the table and the ratio."""
    body = [
        [
            row["name"],
            f"{row['images_per_second']:.0f}",
            f"{row['images_per_processor_second']:.0f}",
            f"{row['share_of_peak']:.0%}",
        ]
        for row in rows
    ]
    columns = ["setting", "images/s", "per processor second", "share of peak"]
    print_table(console, "Training", columns, body, right=(1, 2, 3))
    found = ratios(rows)
    console.print(
        f"  best fused / best compiled: {found['samples']:.2f} x by the clock, {found['processor_samples']:.2f} x by processor time"
    )


@click.command("training")
@click.option("--arch", default="resnet20", show_default=True, help="architecture to train")
@click.option("--batch", default=128, show_default=True, type=click.IntRange(2), help="images per step")
@click.option("--rounds", default=9, show_default=True, type=click.IntRange(2), help="samples of each")
@click.option("--steps", default=6, show_default=True, type=click.IntRange(1), help="steps per sample")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="folder of training.json")
def command(arch: str, batch: int, rounds: int, steps: int, out: Path | None) -> None:
    """Training: fused passes against torch.compile, one process and ranks, float32 and bfloat16."""
    from bench import environment, report
    from fdabnn_deploy.cli.console import make_console

    console = make_console()
    cpus = sorted(os.sched_getaffinity(0))
    before, facts = environment.busy(), environment.describe(cpus)
    rows = run(arch, batch, rounds, steps, len(cpus))
    show(console, rows)
    if out is not None:
        disturbance = report.disturbance(before, environment.busy(), facts["load"][0], len(cpus))
        content = report.record(
            "training",
            facts,
            {"arch": arch, "batch": batch, "rounds": rounds, "steps": steps},
            disturbance,
            rows,
        )
        report.write(out / "training.json", {**content, "unit": "images per second", "ratios": ratios(rows)})
        console.print(f"\n  {out / 'training.json'}", soft_wrap=True)
