"""Converting a deployed graph and checking what the file computes.

The deployed graph has to be the trained network (`gate`). With exact numerics the outputs of files have to be those of the exact graph, bit
for bit, under every setting of every runtime, and the prover has to find the reason in the file. With float numerics they may be off from
the trained network by what the deployed graph may; where the deployed graph itself is off by more and that is accepted, from the deployed
graph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from fdabnn_deploy.data.samples import Samples, run_in_batches
from fdabnn_deploy.exact.grid_row import GridRow
from fdabnn_deploy.frontend.capture import Captured
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.measure import latency
from fdabnn_deploy.pipeline.report import (
    AbsentRuntime,
    ArtifactFile,
    LatencyRow,
    LayerCheckRow,
    ParityRow,
    ProofTable,
    Truth,
)
from fdabnn_deploy.pipeline.target_checks import installed_runtimes
from fdabnn_deploy.prove import prove_forms
from fdabnn_deploy.runtimes.base import Runtime
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.runtimes.torch_module import run_module
from fdabnn_deploy.system.progress import Stages
from fdabnn_deploy.targets.converter import Artifact, ConvertOptions
from fdabnn_deploy.targets.target import Target
from fdabnn_deploy.transforms.deploy import Deployed
from fdabnn_deploy.verify import layer_checks
from fdabnn_deploy.verify import metrics as parity
from fdabnn_deploy.verify.gate.judge import judge
from fdabnn_deploy.verify.gate.results import Gate
from fdabnn_deploy.verify.gate.same_capture import check_capture
from fdabnn_deploy.verify.gate.whole_network import change

SETTING_IMAGES = 8
"""Inputs that every setting but the default one is checked on."""

REFERENCE_IMAGES = 2
"""Inputs that the slow reference executor computes."""


@dataclass(frozen=True)
class Reference:
    """The reference that every file is compared with.

    Attributes:
        samples: the inputs.
        fed: the same as files take them: normalised images, or pixels.
        exact: whether files are judged by bits.
        trained: outputs of the PyTorch module.
        expected: outputs that files have to give: of the exact graph, with float numerics `trained`, or those of the deployed graph where
            its change is accepted.
        truth: the deployed graph against the module: what the passes changed, before any converter.
        gate: the verdict on that.
        parity: the deployed graph on other executors than the one that gave `expected`.
        layer_checks: every binary layer alone, with the tensors recorded in the deployed graph.
    """

    samples: Samples
    fed: Array
    exact: bool
    trained: list[FloatArray]
    expected: list[FloatArray]
    truth: Truth
    gate: Gate
    parity: tuple[ParityRow, ...]
    layer_checks: layer_checks.LayerChecks | None


@dataclass(frozen=True)
class Judged:
    """Outputs of the trained network for the samples, and the gate's verdict on the form with all slices."""

    trained: list[FloatArray]
    gate: Gate


@dataclass(frozen=True)
class CheckedFile:
    """A converted file, the runtimes that run it, how it compares, and the optional runtimes that are not there to compare it."""

    artifact: Artifact
    runtimes: tuple[Runtime, ...]
    parity: tuple[ParityRow, ...]
    layer_checks: tuple[LayerCheckRow, ...]
    proofs: tuple[ProofTable, ...] = field(default=())
    absent: tuple[AbsentRuntime, ...] = field(default=())


def reference(
    module: torch.nn.Module,
    captured: Captured,
    deployed: Deployed,
    graph: Graph,
    grids: tuple[GridRow, ...] | None,
    samples: Samples,
    fed: Array,
    stages: Stages,
    *,
    allow_change: bool = False,
    judged: Judged | None = None,
) -> Reference:
    """Runs the module and the deployed graph on the samples.

    Args:
        module: the trained network.
        captured: the same, captured.
        deployed: what the passes made of it.
        graph: what files are made of.
        grids: of its reductions, None with float numerics.
        samples: the inputs.
        fed: the same as `graph` takes them.
        stages: told of what is done.
        allow_change: files of a deployed graph that does not pass are compared with that graph, with float numerics too.
        judged: the verdict on another form, where `graph` is one that was judged by its accuracy.

    Raises:
        ModelRefusedError: the network computes something else while it is traced.
    """
    with stages.run("reference", "PyTorch"):
        trained = trained_outputs(module, captured, samples) if judged is None else judged.trained
        # On all cores: the bits of an exact graph are the same on one, which `_other_executors` checks.
        session = TorchGraphSession(graph, threads=torch.get_num_threads())
        computed = run_in_batches(session, fed)
        truth = Truth(
            comparison=parity.compare_outputs(trained, computed),
            agreement=parity.agreement(trained, computed),
            output_range=float(max(np.ptp(output) for output in trained)),
            accuracy_trained=parity.accuracy(trained, samples.labels),
            accuracy_deployed=parity.accuracy(computed, samples.labels),
        )
        few = fed[: layer_checks.MAX_IMAGES]
        built = layer_checks.build(graph, session.run_some([few], layer_checks.read_tensors(graph)))
        rows = () if grids is None else _other_executors(graph, samples, fed, computed)
    gate = None if judged is None else judged.gate
    if gate is None:
        gate = pass_gate(captured, deployed, graph, grids or (), samples, fed, trained, computed, stages)
    exact = grids is not None
    by_graph = exact or (allow_change and bool(gate.failures))
    expected = computed if by_graph else trained
    return Reference(samples, fed, exact, trained, expected, truth, gate, rows, built)


def trained_outputs(module: torch.nn.Module, captured: Captured, samples: Samples) -> list[FloatArray]:
    """The outputs of the trained network for the samples.

    Raises:
        ModelRefusedError: the network computes something else while it is traced.
    """
    check_capture(module, captured, samples.images)
    return run_module(module, samples.images, captured.outputs)


def pass_gate(
    captured: Captured,
    deployed: Deployed,
    graph: Graph,
    grids: tuple[GridRow, ...],
    samples: Samples,
    fed: Array,
    trained: Sequence[FloatArray],
    computed: Sequence[FloatArray],
    stages: Stages,
) -> Gate:
    """The gate's verdict on a graph; arguments as of `reference`, and the outputs of both sides for the samples."""
    with stages.run("gate") as stage:
        pixels = None if fed is samples.images else fed
        gate = judge(captured, deployed, graph, grids, samples.images, trained, computed, pixels)
        layers = gate.layers
        stage.detail = f"{len(layers.layers)} tensors on {layers.images} inputs, outputs on {len(samples)}"
    return gate


def _other_executors(
    graph: Graph, samples: Samples, fed: Array, computed: list[FloatArray]
) -> tuple[ParityRow, ...]:
    few, fewer = samples.head(SETTING_IMAGES), samples.head(REFERENCE_IMAGES)
    session = TorchGraphSession(graph)
    one_by_one = [session.run([image[None]]) for image in fed[: len(few)]]
    alone = [np.concatenate(parts) for parts in zip(*one_by_one, strict=True)]
    one_thread = session.run([fed[: len(few)]])
    slow = evaluate(graph, [fed[: len(fewer)]])
    return (
        _row(slow, computed, fewer, "reference", np.__version__, None, "", True),
        _row(alone, computed, few, "torch", torch.__version__, None, "batch 1", True),
        _row(one_thread, computed, few, "torch", torch.__version__, None, "1 thread", True),
    )


def convert_and_check(
    target: Target,
    graph: Graph,
    info: ModelInfo,
    folder: Path,
    options: ConvertOptions,
    truth: Reference,
    stages: Stages,
) -> CheckedFile:
    """Writes one target's file and that of its layer checks, runs both on each of the target's runtimes, and proves the file."""
    path = folder / f"{info.name}{target.suffix}"
    with stages.run("convert", target.name) as stage:
        artifact = target.converter().convert(graph, info, path, options)
        stage.detail = f"{target.name}: {_counts(artifact)}"
        stage.bytes = path.stat().st_size
    proofs = _prove(target, path, stages) if truth.exact else ()
    rows: list[ParityRow] = []
    runtimes, absent = installed_runtimes(target)
    for runtime in runtimes:
        name = runtime.name
        with stages.run("verify", f"{name} {runtime.version()}, {len(truth.samples)} inputs"):
            session = runtime.open(path)
            outputs = run_in_batches(session, truth.fed)
            rows.append(
                _row(
                    outputs,
                    truth.expected,
                    truth.samples,
                    name,
                    runtime.version(),
                    target.name,
                    "",
                    truth.exact,
                    truth.gate.file_limits,
                )
            )
    if truth.exact:
        rows += _check_settings(target, runtimes, graph, info, artifact, options, folder, truth, stages)
    checks = truth.layer_checks
    alone = _check_layers(target, runtimes, info, folder, options, checks, stages) if checks else ()
    return CheckedFile(artifact, runtimes, tuple(rows), alone, proofs, absent)


def _prove(target: Target, path: Path, stages: Stages) -> tuple[ProofTable, ...]:
    assert target.reader is not None
    with stages.run("prove", target.name) as stage:
        found = prove_forms(target.load(target.reader)(path.read_bytes()))
        operators = sum(len(proof.rows) for proof in found.values())
        stage.detail = f"{target.name}: {operators} operators in {len(found)} form{'s' * (len(found) != 1)}"
    return tuple(ProofTable(target.name, form, proof.rows, proof.failures) for form, proof in found.items())


def _check_settings(
    target: Target,
    runtimes: Sequence[Runtime],
    graph: Graph,
    info: ModelInfo,
    artifact: Artifact,
    options: ConvertOptions,
    folder: Path,
    truth: Reference,
    stages: Stages,
) -> list[ParityRow]:
    few = truth.samples.head(SETTING_IMAGES)
    rows = []
    with stages.run("settings", target.name) as stage:
        variants = target.converter().variants(graph, info, artifact, options, folder)
        for variant, path in {"": artifact.path, **variants}.items():
            for runtime in runtimes:
                for setting, session in runtime.settings(path):
                    stages.check()
                    outputs = run_in_batches(session, truth.fed[: len(few)])
                    rows.append(
                        _row(
                            outputs,
                            truth.expected,
                            few,
                            runtime.name,
                            runtime.version(),
                            target.name,
                            setting,
                            True,
                            form=variant,
                        )
                    )
        stage.detail = f"{target.name}: {len(rows)} settings, {len(few)} inputs"
    for path in variants.values():
        path.unlink()
    return rows


def _check_layers(
    target: Target,
    runtimes: Sequence[Runtime],
    info: ModelInfo,
    folder: Path,
    options: ConvertOptions,
    built: layer_checks.LayerChecks,
    stages: Stages,
) -> tuple[LayerCheckRow, ...]:
    path = folder / f"{info.name}.layers{target.suffix}"
    info = replace(info, input_format="float32", channel_order="rgb", layout="nchw")
    rows = []
    with stages.run("layers", f"{target.name}: {len(built.layers)} binary layers, each alone") as stage:
        target.converter().convert(built.graph, info, path, replace(options, batch=1))
        stage.bytes = path.stat().st_size
        for runtime in runtimes:
            session = runtime.open(path)
            rows.append(
                LayerCheckRow(runtime.name, target.name, len(built.layers[0].recorded), built.check(session))
            )
    path.unlink()
    return tuple(rows)


def latency_rows(files: Sequence[CheckedFile], images: Array, stages: Stages) -> tuple[LatencyRow, ...]:
    """Times one image on every runtime of every file."""
    rows = []
    with stages.run("latency", "one image, 1 thread"):
        for file in files:
            for runtime in file.runtimes:
                measured = latency.measure(runtime.open(file.artifact.path), images[:1])
                rows.append(LatencyRow(runtime.name, runtime.version(), file.artifact.target, measured))
    return tuple(rows)


def artifact_file(artifact: Artifact, out: Path) -> ArtifactFile:
    """Describes a converted file as it will lie in the output folder."""
    content = artifact.path.read_bytes()
    return ArtifactFile(
        target=artifact.target,
        path=str(out / artifact.path.name),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        op_counts=dict(artifact.op_counts),
        notes=artifact.notes,
    )


def failures(truth: Reference, files: Sequence[CheckedFile]) -> tuple[str, ...]:
    """One sentence for each check that a file failed; `Gate.failures` are those of the network."""
    found = []
    rows = (*truth.parity, *(row for file in files for row in file.parity))
    against = "PyTorch" if truth.expected is truth.trained else "the deployed graph"
    found += [_describe(row, against) for row in rows if not row.passed]
    for proof in (proof for file in files for proof in file.proofs):
        form = f" ({proof.form})" if proof.form else ""
        found += [f"{proof.target}{form}: cannot be proved: {failure}" for failure in proof.failures]
    for checked in (row for file in files for row in file.layer_checks):
        for layer in checked.layers:
            if layer.first is not None:
                first = layer.first
                found.append(
                    f"{checked.target} on {checked.runtime}: binary layer {layer.module or layer.node} alone differs in "
                    f"{layer.differing} of {layer.values} accumulators, first at {list(first.index)}: "
                    f"{first.a:g} expected, {first.b:g} computed"
                )
    return tuple(found)


def _describe(row: ParityRow, against: str) -> str:
    where = f"{row.target} on {row.runtime}" if row.target else f"the deployed graph on {row.runtime}"
    special = ", ".join(filter(None, (row.form, row.setting)))
    where += f" ({special})" if special else ""
    first = row.comparison.first
    if row.judged_by == "decisions" or first is None:
        return (
            f"{where} agrees with {against} on {row.agreement.same} of {row.agreement.images} inputs, its outputs change by "
            f"{row.comparison.mean_abs:.3g} on average: more than the network itself may"
        )
    return (
        f"{where} differs in {row.comparison.differing} of {row.comparison.values} output values, first at {list(first.index)}: "
        f"{first.a_bits} expected, {first.b_bits} computed"
    )


def _row(
    outputs: Sequence[FloatArray],
    expected: Sequence[FloatArray],
    samples: Samples,
    runtime: str,
    version: str,
    target: str | None,
    setting: str,
    exact: bool,
    limits: Sequence[float] = (),
    form: str = "",
) -> ParityRow:
    wanted = [output[: len(samples)] for output in expected]
    within = None
    if not exact:
        changes = (change(i, a, b) for i, (a, b) in enumerate(zip(wanted, outputs, strict=True)))
        within = all(found <= limit for found, limit in zip(changes, limits, strict=True))
    return ParityRow(
        runtime=runtime,
        version=version,
        target=target,
        setting=setting,
        judged_by="bits" if exact else "decisions",
        images=len(samples),
        comparison=parity.compare_outputs(wanted, list(outputs)),
        agreement=parity.agreement(wanted, list(outputs)),
        accuracy=parity.accuracy(list(outputs), samples.labels),
        within=within,
        form=form,
    )


def _counts(artifact: Artifact) -> str:
    total = sum(artifact.op_counts.values())
    return f"{total} operators" if total else "written"
