"""`--fidelity accuracy`: one or two slices for the float layers, as long as the accuracy on the user's labelled images stays.

In a binary network small errors change decisions, one in seven with a first layer of 8 bits, and hardly the accuracy. A user who wants
small and fast files, not these very decisions, says so; the file then is "same accuracy, not the same decisions", never verified.

The form with all its slices passes the gate first: nothing but slices is left out. Then half of the images, drawn at random, choose the
slices: all layers start with one, and those whose error is the largest get more until the bound of `verify.accuracy_drop` on that half is
below the drop that may be. The other half, which had no part in it, tests that one choice by the same bound.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from fdabnn_deploy.data.samples import Samples, run_in_batches
from fdabnn_deploy.errors import ModelRefusedError, ParityError, UsageError
from fdabnn_deploy.exact.make_exact import Exact, make_exact
from fdabnn_deploy.exact.plan import slice_counts
from fdabnn_deploy.exact.record import MOST_BITS, Cut, Mode
from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.pipeline import verification
from fdabnn_deploy.pipeline.report import Fidelity, PairsRow, SlicedLayer, Slices
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.system.progress import Stages
from fdabnn_deploy.transforms.deploy import Deployed
from fdabnn_deploy.verify.accuracy_drop import (
    CONFIDENCE,
    Pairs,
    images_needed,
    least_images,
    paired,
    points,
    upper_bound,
)

FidelityChoice = Literal["decisions", "accuracy"]

MAX_DROP = 1.0
"""Percentage points of accuracy that may be lost, unless the user says another number."""

GATE_IMAGES = 512
"""Samples at most on which the form with all slices passes the gate."""

SEED = 18
"""Of the two halves."""

WAYS_ON = "allow a greater --max-drop, or leave out --fidelity accuracy for the trained network's decisions"


def most_drop(fidelity: FidelityChoice, max_drop: Any, numerics: Mode) -> float | None:
    """The share of accuracy that may be lost; None where decisions are kept.

    Raises:
        UsageError: the choices contradict each other, or the number is none between 0 and 100.
    """
    if fidelity == "decisions":
        if max_drop is not None:
            raise UsageError("--max-drop goes with --fidelity accuracy: add that, or leave it out")
        return None
    if numerics != "exact":
        raise UsageError("--fidelity accuracy takes slices from exact layers: it needs exact numerics")
    given = MAX_DROP if max_drop is None else max_drop
    number = isinstance(given, numbers.Real) and not isinstance(given, bool | np.bool_)
    if not number or not 0 < float(given) < 100:
        raise UsageError(f"--max-drop is a number of percentage points above 0 and below 100, not {given!r}")
    return float(given) / 100


@dataclass(frozen=True)
class Halves:
    """The two halves of the images, by their positions: one chooses, the other tests; `most` is the share of accuracy that may be lost."""

    most: float
    choosing: NDArray[np.int64]
    testing: NDArray[np.int64]


def check_labelled(samples: Samples, most: float) -> None:
    """Refuses samples that can show nothing of the accuracy.

    Raises:
        UsageError: there are no labels, or too few images for any choice to pass.
    """
    if samples.labels is None:
        raise UsageError(
            f"--fidelity accuracy needs labelled images, and {samples.description} have no labels: docs/input-contract.md says how "
            "--samples takes them"
        )
    least = 2 * least_images(most)
    if len(samples) < least:
        raise UsageError(
            f"--fidelity accuracy with --max-drop {points(most)} needs at least {least} labelled images, one half to choose slices on "
            f"and one to test them: {samples.description} are {len(samples)}; give more of them by --samples PATH:N or PATH:all"
        )


def halves(samples: Samples, most: float, graph: Graph) -> Halves:
    """Draws the halves, the same for the same number of images.

    Raises:
        ModelRefusedError: the network has no scores of classes.
    """
    shape = graph.shape(graph.outputs[0])
    if len(shape) != 2 or shape[1] < 2:
        raise ModelRefusedError(
            f"--fidelity accuracy judges decisions between classes, and {graph.outputs[0]} holds no scores of classes: leave it out"
        )
    order = np.random.default_rng(SEED).permutation(len(samples))
    middle = len(samples) // 2
    return Halves(most, np.sort(order[:middle]), np.sort(order[middle:]))


def judged(
    module: torch.nn.Module,
    captured: Captured,
    deployed: Deployed,
    full: Exact,
    samples: Samples,
    fed: Array,
    stages: Stages,
) -> verification.Judged:
    """Runs the trained network on all samples, and passes the form with all its slices through the gate, on some.

    Raises:
        ModelRefusedError: the network computes something else while it is traced.
    """
    with stages.run("trained", "PyTorch"):
        trained = verification.trained_outputs(module, captured, samples)
    few = samples.head(GATE_IMAGES)
    alike = few.images if fed is samples.images else fed[: len(few)]
    computed = run_in_batches(TorchGraphSession(full.graph, threads=torch.get_num_threads()), alike)
    heads = [output[: len(few)] for output in trained]
    gate = verification.pass_gate(
        captured, deployed, full.graph, full.grids, few, alike, heads, computed, stages
    )
    return verification.Judged(trained, gate)


class Chooser:
    """Chooses slices on one half of the images and tests them on the other.

    Args:
        graph: deployed, before it was made exact.
        full: its exact form with all slices.
        calibration: inputs that its limits come from.
        ranges: recorded ones.
        samples: labelled.
        fed: the same as the graph takes them.
        trained: outputs of the trained network for them.
        halves: of them.
    """

    def __init__(
        self,
        graph: Graph,
        full: Exact,
        calibration: Array,
        ranges: Mapping[str, tuple[float, float]],
        samples: Samples,
        fed: Array,
        trained: list[FloatArray],
        halves: Halves,
    ) -> None:
        self._graph, self._full, self._calibration, self._ranges = graph, full, calibration, ranges
        self._samples, self._fed, self._trained = samples, fed, trained
        self._halves, self._most = halves, halves.most
        self._tried: dict[int, tuple[Exact, Pairs]] = {}

    def choose(self, stages: Stages) -> tuple[Exact, Fidelity]:
        """The exact graph of the fewest slices that pass, and how it was tested.

        Raises:
            UsageError: too few images to say.
            ParityError: accuracy is lost.
            ModelRefusedError: no layer has more slices than the fewest.
        """
        steps = self._steps()
        if len(steps) < 2:
            raise ModelRefusedError(
                "no float layer of this network can do with fewer slices: leave out --fidelity accuracy"
            )
        with stages.run("fidelity", "choosing slices") as stage:
            position = self._first_that_passes(steps, stages)
            if position is None:
                raise self._refusal(min((pairs for _, pairs in self._tried.values()), key=upper_bound))
            exact, chosen = self._tried[position]
            tested = self._pairs(exact, self._halves.testing)
            if upper_bound(tested) >= self._most:
                raise self._refusal(tested)
            stage.detail = (
                f"slices chosen on {chosen.images} images, tested on {tested.images}: at most "
                f"{points(upper_bound(tested))} points of accuracy lost"
            )
        layers = tuple(
            SlicedLayer(name, *(_slices(form, name) for form in (self._full, exact))) for name in steps[0]
        )
        return exact, Fidelity(100 * self._most, CONFIDENCE, _row(chosen), _row(tested), layers)

    def _steps(self) -> list[dict[str, int]]:
        """Slices by layer, from the fewest to all of them, which no layer has in the last one."""
        slices = dict.fromkeys((row.tensor for row in self._full.grids if row.weight_bits is not None), 1)
        one, two = (self._exact(dict.fromkeys(slices, count)) for count in (1, 2))
        kept = {
            count: [name for name in slices if _is_cheaper(exact, self._full, name)]
            for count, exact in ((1, one), (2, two))
        }
        kept[2] = [name for name in kept[2] if _is_cheaper(one, two, name)]
        now = dict.fromkeys(kept[1], 1)
        errors = {
            (row.tensor, count): row.error or 0.0 for count, e in ((1, one), (2, two)) for row in e.grids
        }
        steps = [dict(now)]
        while now:
            name = max(now, key=lambda layer: errors[layer, now[layer]])
            if now[name] == 1 and name in kept[2]:
                now[name] = 2
            else:
                del now[name]
            steps.append(dict(now))
        return steps

    def _first_that_passes(self, steps: list[dict[str, int]], stages: Stages) -> int | None:
        """The position of the first step that passes, found by halving; None where none but the last one, with all slices, does."""
        if self._passes(steps, 0):
            return 0
        few, many = 0, len(steps) - 1
        while many - few > 1:
            stages.check()
            middle = (few + many) // 2
            few, many = (few, middle) if self._passes(steps, middle) else (middle, many)
        return many if many < len(steps) - 1 else None

    def _passes(self, steps: list[dict[str, int]], position: int) -> bool:
        exact = self._exact(steps[position])
        pairs = self._pairs(exact, self._halves.choosing)
        self._tried[position] = exact, pairs
        return upper_bound(pairs) < self._most

    def _exact(self, slices: Mapping[str, int]) -> Exact:
        return make_exact(self._graph, [self._calibration], self._ranges, slices=slices)

    def _pairs(self, exact: Exact, which: NDArray[np.int64]) -> Pairs:
        assert self._samples.labels is not None
        computed = run_in_batches(
            TorchGraphSession(exact.graph, threads=torch.get_num_threads()), self._fed[which]
        )
        return paired([output[which] for output in self._trained], computed, self._samples.labels[which])

    def _refusal(self, pairs: Pairs) -> UsageError | ParityError:
        needed = images_needed(pairs, self._most)
        found = (
            f"with fewer slices {pairs.lost} of {pairs.images} images are lost and {pairs.gained} gained, so that accuracy falls by "
            f"up to {points(upper_bound(pairs))} points, with {CONFIDENCE:.0%} confidence, and by less than {points(self._most)} it "
            "may (--max-drop)"
        )
        if needed is None:
            return ParityError(f"{found}; no file was written: {WAYS_ON}")
        return UsageError(
            f"{found}: {len(self._samples)} labelled images are too few to say more, about {2 * needed} are needed; or {WAYS_ON}"
        )


def _is_cheaper(few: Exact, many: Exact, name: str) -> bool:
    """Whether a layer has fewer sums, or weights of fewer bits, in the first graph."""

    def price(cut: Cut) -> tuple[int, int]:
        return cut.parts, cut.bits or MOST_BITS

    return price(few.numerics.cuts[name]) < price(many.numerics.cuts[name])


def _slices(exact: Exact, name: str) -> Slices:
    row = next(row for row in exact.grids if row.tensor == name)
    return Slices(row.parts, slice_counts(row.parts)[1], row.weight_bits or 0)


def _row(pairs: Pairs) -> PairsRow:
    return PairsRow(pairs.images, pairs.lost, pairs.gained, 100 * pairs.drop, 100 * upper_bound(pairs))
