"""The report of an export: the model, the files made of it, and how they were verified.

`docs/report.md` describes the JSON form; `schemas/report.schema.json` is its schema. `SCHEMA_VERSION` is
raised where a key changes or goes, not where one is added.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from fdabnn_deploy.data.sample_set import SampleSet
from fdabnn_deploy.errors import ParityError
from fdabnn_deploy.exact.grid_row import GridRow
from fdabnn_deploy.exact.record import Mode
from fdabnn_deploy.measure.latency import Latency
from fdabnn_deploy.measure.layer_prices import FilePrice
from fdabnn_deploy.prove import Row
from fdabnn_deploy.system.environment import Environment
from fdabnn_deploy.system.json_file import json_value, write_json
from fdabnn_deploy.system.progress import Stage
from fdabnn_deploy.verify.gate.results import SAME_ACCURACY, TEXTS, Gate, Verdict
from fdabnn_deploy.verify.layer_checks import LayerCheckResult
from fdabnn_deploy.verify.metrics import Agreement, Comparison

SCHEMA_VERSION = 3
SCHEMA_FILE = Path(__file__).parents[1] / "schemas" / "report.schema.json"


@dataclass(frozen=True)
class Model:
    """The model that was read. Lists are as in `ModelInfo`; `training` is the checkpoint's own note of its training."""

    name: str
    arch: str
    dialect: str
    file: str | None
    bytes: int
    sha256: str
    input_shape: tuple[int, ...]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    input_range: tuple[float, float] | None
    classes: tuple[str, ...]
    training: dict[str, Any]


@dataclass(frozen=True)
class InputLimits:
    """The interval to which an exact graph clamps its inputs.

    `source` says in words where it comes from; `known` is False where it was guessed, because the samples were made up.
    """

    low: float
    high: float
    source: str
    known: bool


@dataclass(frozen=True)
class CoverageRow:
    """A convolution or dense layer: whether it is 1-bit, and if not, why and what would change it.

    `binary_layers` says how many binary operators compute it: 1 for a 1-bit layer, 0 for a float one, 2 or 4 where zeros of a side are the
    mean of two signs; `codes` are those of docs/lint.md.
    """

    module: str
    kind: str
    weight_shape: tuple[int, ...]
    one_bit: bool
    expected: bool
    allowed_float: bool
    why: str
    remedy: str
    node: str
    binary_layers: int
    codes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pass:
    """A rewrite of the graph: how often it applied, what it notes, and where it did not apply and why."""

    name: str
    applied: int
    notes: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class SignZeros:
    """Zeros met at signs on the samples, per module, and the sign that the deployed network gives them.

    Attributes:
        images: samples that were looked at.
        sign_values: values that the signs read, in all.
        zeros: how many of them are zeros, by module.
        top1_agreement: share of samples whose largest output is the same with zeros as written and with zeros as deployed.
        max_abs: the largest change of an output between the two.
        sign_zero: the rule: `plus`, `minus` or `exact`.
        changed: zeros that the rule makes another value than the network as written does.
        structural: modules whose three-valued signs read zeros by construction, for instance behind a ReLU, with the reason.

    """

    images: int
    sign_values: int
    zeros: dict[str, int]
    top1_agreement: float
    max_abs: float
    sign_zero: str
    changed: int
    structural: dict[str, str]


@dataclass(frozen=True)
class DroppedNoise:
    """The network as trained, with its noise, against the network with alpha set to 0, on the samples."""

    alpha: dict[str, float]
    top1_agreement: float
    max_abs: float
    accuracy_noisy: float | None
    accuracy_binary: float | None


@dataclass(frozen=True)
class ArtifactFile:
    """A file that was written."""

    target: str
    path: str
    bytes: int
    sha256: str
    op_counts: dict[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Truth:
    """The deployed graph, run by PyTorch, against the trained network: what deployment changed.

    Attributes:
        comparison: of the outputs.
        agreement: of the decisions.
        output_range: largest minus smallest output of the trained network.
        accuracy_trained: where the samples have labels.
        accuracy_deployed: likewise.
    """

    comparison: Comparison
    agreement: Agreement
    output_range: float
    accuracy_trained: float | None
    accuracy_deployed: float | None


@dataclass(frozen=True)
class PairsRow:
    """Decisions of the trained network and of a deployed graph on labelled images.

    Attributes:
        images: how many.
        lost: right with the trained network only.
        gained: right with the deployed graph only.
        drop: estimated drop in accuracy, in percentage points.
        bound: the drop is at most this (`fdabnn_deploy.verify.accuracy_drop`).
    """

    images: int
    lost: int
    gained: int
    drop: float
    bound: float


@dataclass(frozen=True)
class Slices:
    """The slices of a layer: exact sums that make its result, slices of its weights, and bits of all these together."""

    sums: int
    weight_slices: int
    weight_bits: int


@dataclass(frozen=True)
class SlicedLayer:
    """A layer with fewer slices: `full` is what its signs would need, `few` what it has."""

    tensor: str
    full: Slices
    few: Slices


@dataclass(frozen=True)
class Fidelity:
    """The test of `--fidelity accuracy`.

    Attributes:
        max_drop: percentage points of accuracy that may be lost.
        confidence: of the bounds.
        chosen: on the half of the images that the slices were chosen on.
        tested: on the other half, which decides.
        layers: those that could have fewer slices.
    """

    max_drop: float
    confidence: float
    chosen: PairsRow
    tested: PairsRow
    layers: tuple[SlicedLayer, ...]

    @property
    def text(self) -> str:
        """The sentence in files that say so."""
        return (
            f"{SAME_ACCURACY}: with {self.confidence:.0%} confidence, at most {self.tested.bound:.3g} points of accuracy are lost, "
            f"as {self.tested.images} labelled images show ({self.tested.lost} lost, {self.tested.gained} gained)"
        )


@dataclass(frozen=True)
class ParityRow:
    """Outputs of one file on one runtime under one setting against the expected ones.

    Attributes:
        runtime: its name.
        version: of it.
        target: of the file, None for the deployed graph itself.
        setting: of the runtime, empty for the default one.
        judged_by: `bits` against the exact graph, or `decisions` against the trained network.
        images: number of inputs compared.
        comparison: of the outputs.
        agreement: of the decisions.
        accuracy: where the samples have labels.
        within: with `decisions`, whether every output stays within the change that the gate allows the deployed graph; None with `bits`.
        form: of the file, such as `simplified`; empty for the file itself.
    """

    runtime: str
    version: str
    target: str | None
    setting: str
    judged_by: Literal["bits", "decisions"]
    images: int
    comparison: Comparison
    agreement: Agreement
    accuracy: float | None
    within: bool | None = None
    form: str = ""

    @property
    def passed(self) -> bool:
        """Whether all bits are equal; with float numerics, whether all changes are within the allowed ones."""
        return self.comparison.equal if self.within is None else self.within


@dataclass(frozen=True)
class AbsentRuntime:
    """An optional runtime that is not installed, so that a file was not compared on it; `reason` says how to install it."""

    runtime: str
    target: str
    reason: str


@dataclass(frozen=True)
class ProofTable:
    """The result of the prover for a finished file, or for the graph that a runtime makes of the file when it loads it.

    Attributes:
        target: of the file.
        form: empty for the file itself, else the name of the form that a runtime gives it.
        rows: one per operator.
        failures: what could not be proved.
    """

    target: str
    form: str
    rows: tuple[Row, ...]
    failures: tuple[str, ...]

    @property
    def proved(self) -> bool:
        """Whether the file was proved to give the same bits on every runtime that meets docs/assumptions.md."""
        return not self.failures


@dataclass(frozen=True)
class NumericsTable:
    """The grids of the reductions in an exact graph; none with `float`."""

    mode: Mode
    grids: tuple[GridRow, ...]


@dataclass(frozen=True)
class LayerCheckRow:
    """The layer checks on one runtime: every binary layer in a file of its own."""

    runtime: str
    target: str
    images: int
    layers: tuple[LayerCheckResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every layer is equal in every value."""
        return all(layer.passed for layer in self.layers)


@dataclass(frozen=True)
class LatencyRow:
    """The time that a runtime takes for one image."""

    runtime: str
    version: str
    target: str
    latency: Latency


@dataclass(frozen=True)
class Sizes:
    """Bytes. `fp32_parameters` is what the deployed parameters would take at 4 bytes each."""

    checkpoint: int
    fp32_parameters: int
    binary_weights: int
    float_parameters: int


@dataclass(frozen=True)
class Report:
    """An export in all its parts.

    Attributes:
        created: date and time, UTC.
        environment: the machine and its software.
        model: the one that was read.
        samples: the inputs of every comparison.
        input_limits: to which inputs are clamped; None with float numerics.
        stages: the steps with their times.
        coverage: every convolution and dense layer.
        passes: the rewrites of the graph, in order.
        sign_zeros: zeros at signs, where a sign that is written with three values and a 1-bit one differ.
        weight_zeros: exact zeros among the weights, for modules that are deployed as two or four binary layers.
        dropped_noise: with `--drop-noise` on a checkpoint that has noise.
        artifacts: the files.
        numerics: of the deployed graph.
        truth: the deployed graph against the trained network.
        gate: the verdict on that change: layer by layer, and of the outputs (docs/gate.md).
        fidelity: with `--fidelity accuracy`, the test of the accuracy; the gate is then about the form with all slices.
        parity: one row per file, runtime and setting.
        absent: optional runtimes that are not installed.
        proofs: with exact numerics, one table per file and form that a runtime gives it.
        twins: the layer checks, one row per file and runtime; named as in the JSON form.
        latency: one row per file and runtime.
        prices: with exact numerics, what exactness costs in each file, layer by layer.
        sizes: in bytes.
        notes: assumptions made in reading the network and choosing samples; the warnings are among them.
        warnings: notes that the user has to read before using a file.
        allowed_changes: failures of the gate that `--allow-change` accepted, one sentence each.
        failures: checks that did not pass, one sentence each; nothing was written.
        seconds: of the whole export.
    """

    created: str
    environment: Environment
    model: Model
    samples: SampleSet
    input_limits: InputLimits | None
    stages: tuple[Stage, ...]
    coverage: tuple[CoverageRow, ...]
    passes: tuple[Pass, ...]
    sign_zeros: SignZeros
    weight_zeros: dict[str, int]
    dropped_noise: DroppedNoise | None
    artifacts: tuple[ArtifactFile, ...]
    numerics: NumericsTable
    truth: Truth
    gate: Gate
    fidelity: Fidelity | None
    parity: tuple[ParityRow, ...]
    absent: tuple[AbsentRuntime, ...]
    proofs: tuple[ProofTable, ...]
    twins: tuple[LayerCheckRow, ...]
    latency: tuple[LatencyRow, ...]
    prices: tuple[FilePrice, ...]
    sizes: Sizes
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    allowed_changes: tuple[str, ...]
    failures: tuple[str, ...]
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """The verdict on the files (docs/gate.md)."""
        if self.failures:
            return "failed"
        if self.allowed_changes:
            return "changed"
        if self.fidelity is not None:
            return "same accuracy"
        return "verified" if self.gate.judged else "not judged"

    @property
    def verdict_text(self) -> str:
        """The verdict in words, with whether there were too few samples."""
        words = TEXTS[self.verdict, self.numerics.mode]
        return f"{words}; {self.gate.few}" if self.gate.few and self.verdict == "verified" else words

    @property
    def verified(self) -> bool:
        """Whether every check passed, those of the decisions included."""
        return self.verdict == "verified"

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, as `schemas/report.schema.json` describes them."""
        content: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "tool": {"name": "fdabnn-deploy", "version": version("fdabnn-deploy")},
            "verified": self.verified,
            "verdict": self.verdict,
            "verdict_text": self.verdict_text,
            **_fields(self),
        }
        for layer, check in zip(content["gate"]["layers"]["layers"], self.gate.layers.layers, strict=True):
            layer["passed"] = check.passed
        for output, whole in zip(content["gate"]["outputs"], self.gate.outputs, strict=True):
            output["passed"] = whole.passed
        for row, source in zip(content["parity"], self.parity, strict=True):
            row["passed"] = source.passed
            row["agreement"]["share"] = source.agreement.share
        content["truth"]["agreement"]["share"] = self.truth.agreement.share
        for table, proof in zip(content["proofs"], self.proofs, strict=True):
            table["proved"] = proof.proved
        for checked, source_row in zip(content["twins"], self.twins, strict=True):
            checked["passed"] = source_row.passed
        plain = json_value(content)
        assert isinstance(plain, dict)
        return plain

    def write_json(self, path: Path) -> None:
        """Writes the JSON form; a reader sees the whole file or none."""
        write_json(path, self.to_json())


class ExportParityError(ParityError):
    """Parity failed; carries the report, so that its tables can be shown."""

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report


def _fields(value: Any) -> dict[str, Any]:
    return dataclasses.asdict(value)
