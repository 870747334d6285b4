"""The form of a deployed graph that files are made of: exact, of fewer slices where the user asks for that, or of floats as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fdabnn_deploy.data.samples import Samples
from fdabnn_deploy.exact.grid_row import GridRow
from fdabnn_deploy.exact.make_exact import Exact, make_exact
from fdabnn_deploy.exact.record import Numerics
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.pipeline import few_slices, pixel_inputs
from fdabnn_deploy.pipeline.report import Fidelity
from fdabnn_deploy.pipeline.verification import Judged
from fdabnn_deploy.system.progress import Stages
from fdabnn_deploy.transforms.deploy import Deployed, PassReport
from fdabnn_deploy.verify.zeros.moved_zeros import check_zeros

MOVED_ZERO_IMAGES = 8
CALIBRATION_IMAGES = 64
CALIBRATION_VALUES = 1 << 25
"""Of the largest tensor over all calibration inputs: 128 MB."""


@dataclass(frozen=True)
class Form:
    """The graph of files, and what is known of it.

    Attributes:
        graph: of standard operators.
        composed: the same with composite operators.
        numerics: the record of how it was made.
        grids: of its reductions, None with float numerics.
        passes: that made it exact.
        looked_at: inputs that its limits come from.
        fidelity: with fewer slices, how its accuracy was tested.
        judged: likewise, the gate's verdict on the form with all of them.
    """

    graph: Graph
    composed: Graph
    numerics: Numerics
    grids: tuple[GridRow, ...] | None = None
    passes: tuple[PassReport, ...] = ()
    looked_at: int = 0
    fidelity: Fidelity | None = None
    judged: Judged | None = None

    @property
    def said(self) -> str:
        """How files call themselves where they keep the accuracy and not the decisions; else empty."""
        return "" if self.fidelity is None else self.fidelity.text


def float_form(deployed: Deployed) -> Form:
    """The graph as it is."""
    return Form(deployed.graph, deployed.graph, Numerics())


def exact_form(
    network: checkpoint.Source,
    captured: Captured,
    deployed: Deployed,
    plain: Graph,
    inputs: Samples,
    fed: Array,
    most: float | None,
    stages: Stages,
    sign_zero: SignZero,
) -> Form:
    """The exact graph.

    Args:
        network: that it comes from.
        captured: the same, captured.
        deployed: what the passes made of it.
        plain: its graph before it took pixels.
        inputs: samples.
        fed: the same as the graph takes them.
        most: the share of accuracy that fewer slices may lose; None to keep decisions.
        stages: told of it.
        sign_zero: see `export`.

    Raises:
        ModelRefusedError: it has no exact form, or none with fewer slices.
        ParityError: fewer slices lose accuracy.
        UsageError: there are too few images to say so.
    """
    halves = None if most is None else few_slices.halves(inputs, most, deployed.graph)
    seen = fed if halves is None else fed[halves.choosing]
    ranges = dict(network.ranges)
    if network.info.input_range is not None:
        ranges["input"] = network.info.input_range
    with stages.run("numerics", "exact") as stage:
        largest = max(math.prod(deployed.graph.shape(node.name)[1:]) for node in deployed.graph)
        count = max(1, min(CALIBRATION_IMAGES, CALIBRATION_VALUES // largest))
        exact = make_exact(deployed.graph, [seen[:count]], ranges)
        if sign_zero == "exact":
            few = seen[: min(count, MOVED_ZERO_IMAGES)]
            check_zeros(pixel_inputs.unfolded(plain, network.info), exact.graph, few)
        sums = sum(row.parts for row in exact.grids)
        stage.detail = (
            f"exact: {len(exact.grids)} reductions in {sums} sums, limits from {min(count, len(seen))} inputs"
        )
        stage.detail += " and recorded ranges" if network.ranges else ""
    if halves is None:
        return _form(exact, count)
    judged = few_slices.judged(network.module, captured, deployed, exact, inputs, fed, stages)
    known = seen[:count], ranges, inputs, fed, judged.trained, halves
    few_of_them, tested = few_slices.Chooser(deployed.graph, exact, *known).choose(stages)
    return _form(few_of_them, count, tested, judged)


def _form(exact: Exact, count: int, tested: Fidelity | None = None, judged: Judged | None = None) -> Form:
    return Form(exact.graph, exact.composed, exact.numerics, exact.grids, exact.passes, count, tested, judged)
