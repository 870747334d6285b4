"""Converting a deployed graph and comparing what the file computes with what the PyTorch module computes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from fdabnn_deploy import latency, parity, twins
from fdabnn_deploy.converter import Artifact, Converter, ConvertOptions
from fdabnn_deploy.graph import Graph
from fdabnn_deploy.model_info import ModelInfo
from fdabnn_deploy.ops import FloatArray
from fdabnn_deploy.report import ArtifactFile, LatencyRow, ParityRow, TwinRow
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Runtime, Session
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.samples import Samples, run_in_batches
from fdabnn_deploy.stages import Stages
from fdabnn_deploy.torch_module import run_module

GRAPH_RUNTIME = "torch"


@dataclass(frozen=True)
class Reference:
    """What every file is compared with.

    Attributes:
        samples: the inputs.
        outputs: of the PyTorch module.
        graph_row: the deployed graph, run by PyTorch, against the module: what the passes changed, before any
            converter.
        twins: every binary layer alone, with the tensors recorded in the deployed graph.
    """

    samples: Samples
    outputs: list[FloatArray]
    graph_row: ParityRow
    twins: twins.Twins | None

    @property
    def accuracy(self) -> float | None:
        """Of the PyTorch module, where the samples have labels."""
        return parity.accuracy(self.outputs, self.samples.labels)


@dataclass(frozen=True)
class CheckedFile:
    """A converted file, the sessions that run it, and how it compares."""

    artifact: Artifact
    sessions: tuple[tuple[Runtime, Session], ...]
    parity: tuple[ParityRow, ...]
    twins: tuple[TwinRow, ...]


def reference(module: torch.nn.Module, graph: Graph, samples: Samples) -> Reference:
    """Runs the module and the deployed graph on the samples."""
    outputs = run_module(module, samples.images)
    session = TorchGraphSession(graph)
    row = _row(
        run_in_batches(session, samples.images), outputs, samples, GRAPH_RUNTIME, torch.__version__, None
    )
    recorded = session.run_all([samples.images[: twins.MAX_IMAGES]])
    return Reference(samples, outputs, row, twins.build(graph, recorded))


def convert_and_check(
    converter: Converter,
    graph: Graph,
    info: ModelInfo,
    folder: Path,
    options: ConvertOptions,
    truth: Reference,
    stages: Stages,
) -> CheckedFile:
    """Writes one target's file and its twins into a folder and runs both on each of the target's runtimes."""
    path = folder / f"{info.name}{converter.suffix}"
    with stages.run("convert", converter.target) as stage:
        artifact = converter.convert(graph, info, path, options)
        stage.detail = f"{converter.target}: {_counts(artifact)}"
        stage.bytes = path.stat().st_size
    sessions: list[tuple[Runtime, Session]] = []
    rows: list[ParityRow] = []
    for name in converter.runtimes:
        runtime = registry.get(name)
        with stages.run("verify", f"{name} {runtime.version()}, {len(truth.samples)} inputs"):
            session = runtime.open(path)
            outputs = run_in_batches(session, truth.samples.images)
            rows.append(
                _row(outputs, truth.outputs, truth.samples, name, runtime.version(), converter.target)
            )
        sessions.append((runtime, session))
    alone = _check_twins(converter, info, folder, truth.twins, stages) if truth.twins else ()
    return CheckedFile(artifact, tuple(sessions), tuple(rows), alone)


def _check_twins(
    converter: Converter, info: ModelInfo, folder: Path, built: twins.Twins, stages: Stages
) -> tuple[TwinRow, ...]:
    path = folder / f"{info.name}.twins{converter.suffix}"
    rows = []
    with stages.run("twins", f"{converter.target}: {len(built.layers)} binary layers, each alone") as stage:
        converter.convert(built.graph, info, path, ConvertOptions(batch=1))
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


def failures(rows: Sequence[ParityRow], twin_rows: Sequence[TwinRow]) -> tuple[str, ...]:
    """What did not pass, one sentence each."""
    found = []
    for row in rows:
        if not row.passed:
            agreement = row.agreement
            found.append(
                f"{describe_runtime(row.runtime, row.target)} agrees with PyTorch on {agreement.same} of "
                f"{agreement.images} inputs only ({agreement.share:.2%}, needed {parity.TOP1_THRESHOLD:.1%})"
            )
    for twin_row in twin_rows:
        for layer in twin_row.layers:
            if layer.first is not None:
                first = layer.first
                where = describe_runtime(twin_row.runtime, twin_row.target)
                found.append(
                    f"{where}: binary layer {layer.module or layer.node} alone differs in "
                    f"{layer.differing} of {layer.values} accumulators, first at {list(first.index)}: "
                    f"{first.a:g} expected, {first.b:g} computed"
                )
    return tuple(found)


def describe_runtime(runtime: str, target: str | None) -> str:
    """A runtime as messages call it."""
    return "the deployed graph" if target is None else f"{target} on {runtime}"


def _row(
    outputs: list[FloatArray],
    expected: list[FloatArray],
    samples: Samples,
    runtime: str,
    version: str,
    target: str | None,
) -> ParityRow:
    return ParityRow(
        runtime=runtime,
        version=version,
        target=target,
        comparison=parity.compare_outputs(expected, outputs),
        agreement=parity.agreement(expected, outputs),
        accuracy=parity.accuracy(outputs, samples.labels),
    )


def _counts(artifact: Artifact) -> str:
    total = sum(artifact.op_counts.values())
    return f"{total} operators" if total else "written"
