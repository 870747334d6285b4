"""Times the layers: our kernels at their levels, the peaks and every peer in turn."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from bench.figures import Figures, Goal, figures, goals, two_threads_pay
from bench.layers import BenchLayer, Problem
from bench.measure import Contender, Row, pinned, run_interleaved
from bench.peers import ours
from fdabnn_deploy.native.library import chosen_level

PEERS = ("lce", "onnxruntime", "tflite", "torch")


@dataclass(frozen=True)
class LayerResult:
    """The result for a layer.

    Attributes:
        layer: that was timed.
        level: of our kernels.
        rows: timed in turn on one thread.
        pairs: our kernels with one and two threads, timed in turn; empty for small layers and single processors.
        figures: what the rows say.
        goals: whether that is enough.
    """

    layer: BenchLayer
    level: str
    rows: list[Row]
    pairs: list[Row]
    figures: Figures
    goals: list[Goal]

    def record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "name": self.layer.name,
            **asdict(self.layer),
            "macs": self.layer.macs,
            "figures": asdict(self.figures),
            "goals": [{**asdict(goal), "met": goal.met} for goal in self.goals],
            "rows": [asdict(row) for row in self.rows],
            "two_threads": [asdict(row) for row in self.pairs],
        }


def run_layer(
    layer: BenchLayer, cpus: Sequence[int], rounds: int, peers: Sequence[str] = PEERS
) -> LayerResult:
    """Times one layer.

    Args:
        layer: to time.
        cpus: one or two processors; everything with one thread runs on the first.
        rounds: samples of each contender.
        peers: modules of `bench.peers`.
    """
    level = chosen_level()
    problem = Problem(layer)
    with pinned(cpus[:1]):
        contenders = [*ours.peaks(), *ours.sign_packing(problem, level)]
        levels = [level, "avx2"] if level == "avx512" else [level]
        contenders += [ours.convolution(problem, output, name) for name in levels for output in ours.OUTPUTS]
        for name in peers:
            make: Callable[[Problem], list[Contender]] = importlib.import_module(
                f"bench.peers.{name}"
            ).contenders
            contenders += make(problem)
        rows = run_interleaved(contenders, rounds)
    pairs = []
    if len(cpus) > 1 and two_threads_pay(layer):
        with pinned(cpus[:2]):
            kernels = [
                ours.convolution(problem, o, level, threads) for o in ours.OUTPUTS for threads in (1, 2)
            ]
            pairs = run_interleaved(kernels, rounds)
    found = figures(layer, level, rows, pairs)
    return LayerResult(layer, level, rows, pairs, found, goals(layer, level, found))
