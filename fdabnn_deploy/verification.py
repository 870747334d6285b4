"""Converting a deployed graph and checking what the file computes.

With exact numerics the outputs have to be those of the exact graph, bit for bit, under every setting of every runtime, and the prover has
to find the reason in the file. With float numerics the decisions have to be those of the trained network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from fdabnn_deploy import latency, parity, prover, twins
from fdabnn_deploy.converter import Artifact, Converter, ConvertOptions
from fdabnn_deploy.graph import Graph
from fdabnn_deploy.model_info import ModelInfo
from fdabnn_deploy.ops import FloatArray
from fdabnn_deploy.reference import evaluate
from fdabnn_deploy.report import ArtifactFile, LatencyRow, ParityRow, ProofTable, Truth, TwinRow
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Runtime, Session
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.samples import Samples, run_in_batches
from fdabnn_deploy.stages import Stages
from fdabnn_deploy.torch_module import run_module

SETTING_IMAGES = 8
"""Inputs that every setting but the default one is checked on."""

REFERENCE_IMAGES = 2
"""Inputs that the slow reference executor computes."""

_PROVERS: dict[str, Callable[[bytes], dict[str, prover.Proof]]] = {
    ".onnx": prover.prove_onnxruntime,
    ".tflite": lambda content: {"": prover.prove_tflite(content)},
}


@dataclass(frozen=True)
class Reference:
    """What every file is compared with.

    Attributes:
        samples: the inputs.
        exact: whether files are judged by bits.
        trained: outputs of the PyTorch module.
        expected: outputs that files have to give: of the exact graph, or `trained`.
        truth: the deployed graph against the module: what the passes changed, before any converter.
        parity: the deployed graph on other executors than the one that gave `expected`.
        twins: every binary layer alone, with the tensors recorded in the deployed graph.
    """

    samples: Samples
    exact: bool
    trained: list[FloatArray]
    expected: list[FloatArray]
    truth: Truth
    parity: tuple[ParityRow, ...]
    twins: twins.Twins | None


@dataclass(frozen=True)
class CheckedFile:
    """A converted file, the sessions that run it, and how it compares."""

    artifact: Artifact
    sessions: tuple[tuple[Runtime, Session], ...]
    parity: tuple[ParityRow, ...]
    twins: tuple[TwinRow, ...]
    proofs: tuple[ProofTable, ...] = field(default=())


def reference(
    module: torch.nn.Module,
    graph: Graph,
    samples: Samples,
    exact: bool,
    outputs: Sequence[int] | None = None,
) -> Reference:
    """Runs the module and the deployed graph on the samples; `outputs` are the module's that the graph has (`Captured.outputs`)."""
    trained = run_module(module, samples.images, outputs)
    session = TorchGraphSession(graph)
    deployed = run_in_batches(session, samples.images)
    truth = Truth(
        comparison=parity.compare_outputs(trained, deployed),
        agreement=parity.agreement(trained, deployed),
        output_range=float(max(np.ptp(output) for output in trained)),
        accuracy_trained=parity.accuracy(trained, samples.labels),
        accuracy_deployed=parity.accuracy(deployed, samples.labels),
    )
    recorded = session.run_all([samples.images[: twins.MAX_IMAGES]])
    built = twins.build(graph, recorded)
    if not exact:
        return Reference(samples, False, trained, trained, truth, (), built)
    few, fewer = samples.head(SETTING_IMAGES), samples.head(REFERENCE_IMAGES)
    one_by_one = [session.run([image[None]]) for image in few.images]
    alone = [np.concatenate(parts) for parts in zip(*one_by_one, strict=True)]
    threads = TorchGraphSession(graph, threads=2).run([few.images])
    slow = evaluate(graph, [fewer.images])
    rows = (
        _row(slow, deployed, fewer, "reference", np.__version__, None, "", True),
        _row(alone, deployed, few, "torch", torch.__version__, None, "batch 1", True),
        _row(threads, deployed, few, "torch", torch.__version__, None, "2 threads", True),
    )
    return Reference(samples, True, trained, deployed, truth, rows, built)


def convert_and_check(
    converter: Converter,
    graph: Graph,
    info: ModelInfo,
    folder: Path,
    options: ConvertOptions,
    truth: Reference,
    stages: Stages,
) -> CheckedFile:
    """Writes one target's file and its twins into a folder, runs both on each of the target's runtimes, and proves the file."""
    path = folder / f"{info.name}{converter.suffix}"
    with stages.run("convert", converter.target) as stage:
        artifact = converter.convert(graph, info, path, options)
        stage.detail = f"{converter.target}: {_counts(artifact)}"
        stage.bytes = path.stat().st_size
    proofs = _prove(converter, path, stages) if truth.exact else ()
    sessions: list[tuple[Runtime, Session]] = []
    rows: list[ParityRow] = []
    for name in converter.runtimes:
        runtime = registry.get(name)
        with stages.run("verify", f"{name} {runtime.version()}, {len(truth.samples)} inputs"):
            session = runtime.open(path)
            outputs = run_in_batches(session, truth.samples.images)
            rows.append(
                _row(
                    outputs,
                    truth.expected,
                    truth.samples,
                    name,
                    runtime.version(),
                    converter.target,
                    "",
                    truth.exact,
                )
            )
        sessions.append((runtime, session))
    if truth.exact:
        rows += _check_settings(converter, graph, info, artifact, folder, truth, stages)
    alone = _check_twins(converter, info, folder, options, truth.twins, stages) if truth.twins else ()
    return CheckedFile(artifact, tuple(sessions), tuple(rows), alone, proofs)


def _prove(converter: Converter, path: Path, stages: Stages) -> tuple[ProofTable, ...]:
    with stages.run("prove", converter.target) as stage:
        found = _PROVERS[converter.suffix](path.read_bytes()) if converter.suffix in _PROVERS else {}
        operators = sum(len(proof.rows) for proof in found.values())
        stage.detail = (
            f"{converter.target}: {operators} operators in {len(found)} form{'s' * (len(found) != 1)}"
        )
    return tuple(
        ProofTable(converter.target, form, proof.rows, proof.failures) for form, proof in found.items()
    )


def _check_settings(
    converter: Converter,
    graph: Graph,
    info: ModelInfo,
    artifact: Artifact,
    folder: Path,
    truth: Reference,
    stages: Stages,
) -> list[ParityRow]:
    few = truth.samples.head(SETTING_IMAGES)
    rows = []
    with stages.run("settings", converter.target) as stage:
        variants = converter.variants(graph, info, artifact, folder)
        for variant, path in {"": artifact.path, **variants}.items():
            for name in converter.runtimes:
                runtime = registry.get(name)
                for setting, session in runtime.settings(path):
                    outputs = run_in_batches(session, few.images)
                    label = f"{variant}, {setting}" if variant else setting
                    rows.append(
                        _row(
                            outputs,
                            truth.expected,
                            few,
                            name,
                            runtime.version(),
                            converter.target,
                            label,
                            True,
                        )
                    )
        stage.detail = f"{converter.target}: {len(rows)} settings, {len(few)} inputs"
    for path in variants.values():
        path.unlink()
    return rows


def _check_twins(
    converter: Converter,
    info: ModelInfo,
    folder: Path,
    options: ConvertOptions,
    built: twins.Twins,
    stages: Stages,
) -> tuple[TwinRow, ...]:
    path = folder / f"{info.name}.twins{converter.suffix}"
    rows = []
    with stages.run("twins", f"{converter.target}: {len(built.layers)} binary layers, each alone") as stage:
        converter.convert(built.graph, info, path, replace(options, batch=1))
        stage.bytes = path.stat().st_size
        for name in converter.runtimes:
            session = registry.get(name).open(path)
            rows.append(TwinRow(name, converter.target, len(built.layers[0].recorded), built.check(session)))
    path.unlink()
    return tuple(rows)


def latency_rows(files: Sequence[CheckedFile], samples: Samples, stages: Stages) -> tuple[LatencyRow, ...]:
    """Times one picture on every runtime of every file."""
    rows = []
    with stages.run("latency", "one picture, 1 thread"):
        for file in files:
            for runtime, session in file.sessions:
                measured = latency.measure(session, samples.images[:1])
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
    """What did not pass, one sentence each."""
    found = []
    if not truth.exact and not truth.truth.agreement.passed:
        found.append(_too_few("the deployed graph", truth.truth.agreement))
    rows = (*truth.parity, *(row for file in files for row in file.parity))
    found += [_describe(row) for row in rows if not row.passed]
    for proof in (proof for file in files for proof in file.proofs):
        form = f" ({proof.form})" if proof.form else ""
        found += [f"{proof.target}{form}: cannot be proved: {failure}" for failure in proof.failures]
    for twin_row in (twin for file in files for twin in file.twins):
        for layer in twin_row.layers:
            if layer.first is not None:
                first = layer.first
                found.append(
                    f"{twin_row.target} on {twin_row.runtime}: binary layer {layer.module or layer.node} alone differs in "
                    f"{layer.differing} of {layer.values} accumulators, first at {list(first.index)}: "
                    f"{first.a:g} expected, {first.b:g} computed"
                )
    return tuple(found)


def _describe(row: ParityRow) -> str:
    where = f"{row.target} on {row.runtime}" if row.target else f"the deployed graph on {row.runtime}"
    where += f" ({row.setting})" if row.setting else ""
    first = row.comparison.first
    if row.judged_by == "decisions" or first is None:
        return _too_few(where, row.agreement)
    return (
        f"{where} differs in {row.comparison.differing} of {row.comparison.values} output values, first at {list(first.index)}: "
        f"{first.a_bits} expected, {first.b_bits} computed"
    )


def _too_few(where: str, agreement: parity.Agreement) -> str:
    return (
        f"{where} agrees with PyTorch on {agreement.same} of {agreement.images} inputs only "
        f"({agreement.share:.2%}, needed {parity.TOP1_THRESHOLD:.1%})"
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
) -> ParityRow:
    wanted = [output[: len(samples)] for output in expected]
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
    )


def _counts(artifact: Artifact) -> str:
    total = sum(artifact.op_counts.values())
    return f"{total} operators" if total else "written"
