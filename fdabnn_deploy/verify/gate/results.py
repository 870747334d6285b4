"""The results of the gate, for reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["verified", "not judged", "same accuracy", "changed", "failed"]

SAME_ACCURACY = "same accuracy, not the same decisions"
"""How a file is called whose accuracy was tested in the place of its decisions."""

TEXTS: dict[tuple[Verdict, str], str] = {
    ("verified", "exact"): "verified",
    ("verified", "float"): "verified",
    ("not judged", "exact"): "exact between files, layers true, decisions not judged",
    ("not judged", "float"): "layers true, decisions not judged",
    ("same accuracy", "exact"): f"exact between files, {SAME_ACCURACY}",
    ("changed", "exact"): "exact between files, the network changed, as --allow-change accepts",
    ("changed", "float"): "the network changed, as --allow-change accepts",
    ("failed", "exact"): "failed",
    ("failed", "float"): "failed",
}
"""The words of a verdict, by verdict and numerics."""


@dataclass(frozen=True)
class LayerCheck:
    """One tensor of the deployed graph, computed from the trained network's own values of what it reads.

    Attributes:
        tensor: its name in the deployed graph.
        module: path of the PyTorch module it comes from.
        kind: "sign", "binary layer", "float layer" or "values" (pointwise operators, pools, movers).
        values: how many were compared.
        differing: signs on another side than the trained network's, or values beyond the stated error.
        allowed: how many may.
        largest: largest absolute difference.
        stated: largest stated error of any channel.
        cause: of the differences, empty where there are none.
    """

    tensor: str
    module: str
    kind: Literal["sign", "binary layer", "float layer", "values"]
    values: int
    differing: int
    allowed: int
    largest: float
    stated: float
    cause: str = ""

    @property
    def passed(self) -> bool:
        """Whether no more differ than may."""
        return self.differing <= self.allowed


@dataclass(frozen=True)
class LayerTable:
    """Every tensor of the deployed graph that the trained network has too.

    Attributes:
        images: how many inputs they were compared on.
        layers: in the order of computation.
        not_compared: signs of the deployed graph that stand for no tensor of the trained network; what is computed from them is compared.
    """

    images: int
    layers: tuple[LayerCheck, ...]
    not_compared: int = 0

    @property
    def passed(self) -> bool:
        """Whether all of them pass."""
        return all(layer.passed for layer in self.layers)


@dataclass(frozen=True)
class OutputCheck:
    """One output of the whole network against the trained one.

    Attributes:
        name: of the output.
        judged_by: "decisions" of class scores, or the mean change of "values", relative to their range.
        images: how many inputs.
        differing: how many decisions are not the same; 0 for values.
        change: the share of decisions that are not the same, or the mean change.
        arithmetic: the same between the trained network in float32 and in float64; None where the change is small enough without. Where it
            stops being judged, the count stopped there too: it is at least this.
        limit: what `change` may be; None where it is not judged.
    """

    name: str
    judged_by: Literal["decisions", "values"]
    images: int
    differing: int
    change: float
    arithmetic: float | None
    limit: float | None

    @property
    def passed(self) -> bool:
        """Whether it changes no more than it may, or is not judged."""
        return self.limit is None or self.change <= self.limit


@dataclass(frozen=True)
class Gate:
    """Both parts.

    Attributes:
        layers: layer by layer.
        outputs: the whole, one row per output.
        few: says so where there are too few samples to judge decisions by, else empty.
        failures: what did not pass, one sentence each.
    """

    layers: LayerTable
    outputs: tuple[OutputCheck, ...]
    few: str = ""
    failures: tuple[str, ...] = field(default=())

    @property
    def judged(self) -> bool:
        """Whether every output could be judged."""
        return all(output.limit is not None for output in self.outputs)

    @property
    def file_limits(self) -> tuple[float, ...]:
        """The largest change of each output that a file with float numerics may have against the trained network.

        Where the network is not judged for what arithmetic does to it, three times that.
        """
        return tuple(
            3 * (output.arithmetic or 0.0) if output.limit is None else output.limit
            for output in self.outputs
        )
