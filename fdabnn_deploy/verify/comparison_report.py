"""The result of a comparison of two models and its verdict; `fdabnn_deploy.verify.comparison` says which comparisons are judged."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fdabnn_deploy.data.sample_set import SampleSet
from fdabnn_deploy.system.json_file import write_json
from fdabnn_deploy.targets.target import Checksum
from fdabnn_deploy.verify.cross_runtime import RuntimeRow
from fdabnn_deploy.verify.metrics import Agreement, Comparison

SCHEMA_VERSION = 2
SCHEMA_FILE = Path(__file__).parents[1] / "schemas" / "parity.schema.json"


@dataclass(frozen=True)
class SideReport:
    """A side as reports show it.

    `numerics` is "exact", "float" or, where the file does not say, "unknown"; `accuracy` is None without labels. `checksum` of a file of
    this project is "fits", "changed" since it was exported, or "none", as of older files; else it is empty. `allowed_change` is
    what `fdabnn-export --allow-change` accepted of the file, `fidelity` what a file of `--fidelity accuracy` says of itself; empty where
    nothing. `notes` say what was assumed about a checkpoint, and left out of it.
    """

    path: str
    what: str
    runtime: str
    version: str
    numerics: str
    checkpoint_sha256: str
    accuracy: float | None
    checksum: Checksum = ""
    allowed_change: str = ""
    fidelity: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerRow:
    """One tensor that both sides have; `layer` is its module path, its first index is that of the sample."""

    layer: str
    tensor: str
    shape: tuple[int, ...]
    comparison: Comparison


@dataclass(frozen=True)
class ComparisonReport:
    """Two models compared.

    Attributes:
        a: the first model, the reference in `Difference.a`.
        b: the second.
        samples: what both computed.
        same_checkpoint: whether both come from one checkpoint, None where a side does not say.
        same_numerics: whether both record the same numerics, None where a side does not say.
        atol: the absolute tolerance that was asked for, None for bits alone.
        not_judged: why the comparison is reported only; empty where it is judged.
        comparison: of the outputs, bit by bit; the verdict, where the comparison is judged.
        agreement: of the decisions; for information.
        runtimes: files on further runtimes, compared with themselves.
        layers: with `per_layer`, every tensor that both have, in the order of computation.
        layer_images: the samples that `layers` are about.
        reproduction: the folder with the first layer that differs, None where none was written.
    """

    a: SideReport
    b: SideReport
    samples: SampleSet
    same_checkpoint: bool | None
    same_numerics: bool | None
    atol: float | None
    not_judged: str
    comparison: Comparison
    agreement: Agreement
    runtimes: tuple[RuntimeRow, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    layer_images: tuple[int, ...] = ()
    reproduction: str | None = None

    @property
    def verdict(self) -> str:
        """One of "equal", "tolerated" (equal but for values within `atol`), "reported" (not judged), "different"."""
        if any(row.failed for row in self.runtimes):
            return "different"
        if self.not_judged:
            return "reported"
        if self.comparison.equal:
            return "equal"
        return "tolerated" if self.comparison.passed else "different"

    @property
    def passed(self) -> bool:
        """Whether the two do not fail the rule of the module."""
        return self.verdict != "different"

    @property
    def verdict_text(self) -> str:
        """The verdict in a sentence, with the bits that decided it and everything that relaxed it."""
        found = self.comparison
        for row in self.runtimes:
            if row.failed and row.comparison is not None:
                differing = f"{row.comparison.differing} of {row.comparison.values}"
                return (
                    f"{row.path} computes {differing} values otherwise on {row.runtime} than on {row.against}"
                )
        count = f"{found.differing} of {found.values} values differ"
        zeros = f"; {found.zero_signs} zeros of opposite sign count as equal" if found.zero_signs else ""
        if self.verdict == "reported":
            return (
                f"reported, not promised ({self.not_judged}): {self.agreement.same} of {self.agreement.images} "
                f"decisions are the same, {count}, by at most {found.max_abs:.3g}, {found.mean_abs:.3g} on average"
            )
        if self.verdict == "equal":
            unused = "" if self.atol is None else f" (no value needed --atol {self.atol:g})"
            return f"the same bits: {count}{unused}{zeros}"
        if self.verdict == "tolerated":
            return f"the same within --atol {self.atol:g}, not in their bits: {found.tolerated} of {found.values} values needed it{zeros}"
        beyond = (
            ""
            if self.atol is None
            else f", {found.differing - found.tolerated} of them beyond --atol {self.atol:g}"
        )
        return f"{count} in their bits{beyond}{zeros}"

    @property
    def changes(self) -> tuple[str, ...]:
        """One sentence per file that is not its trained network, or only as to its accuracy, as whoever exported it accepted."""
        sides = (self.a, self.b)
        return (
            *(
                f"{side.path} is not the network that was trained, as --allow-change accepted: {side.allowed_change}"
                for side in sides
                if side.allowed_change
            ),
            *(f"{side.path} is of the {side.fidelity}" for side in sides if side.fidelity),
        )

    @property
    def first_difference(self) -> LayerRow | None:
        """The first tensor, in the order of computation, that differs anywhere."""
        return next((row for row in self.layers if not row.comparison.equal), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `schemas/parity.schema.json` describes them."""
        head = {"schema_version": SCHEMA_VERSION, "passed": self.passed, "verdict": self.verdict}
        content = {**head, "verdict_text": self.verdict_text, **dataclasses.asdict(self)}
        content["agreement"]["share"] = self.agreement.share
        return content

    def write_json(self, path: Path) -> None:
        """Writes the JSON form; a reader sees the whole file or none."""
        write_json(path, self.to_json())
