"""Compares any two models, checkpoints or exported files, each on its own runtime: behind `fdabnn-parity`."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fdabnn_deploy import parity, report
from fdabnn_deploy import samples as sample_sets
from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.model_info import ModelInfo
from fdabnn_deploy.ops import FloatArray
from fdabnn_deploy.parity import Agreement, Comparison, LayerComparison
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.base import Session
from fdabnn_deploy.samples import Samples
from fdabnn_deploy.stages import Progress, Stages

CHECKPOINT_SUFFIXES = (".pt", ".pth", ".ckpt", ".tar", ".bin", ".pkl")
PER_LAYER_IMAGES = 8
SCHEMA_VERSION = 1
_OUTPUT = re.compile(r"output(_\d+)?")
SCHEMA_FILE = Path(__file__).parent / "schemas" / "parity.schema.json"


@dataclass(frozen=True)
class Side:
    """One of the two models.

    Attributes:
        path: its file.
        runtime: what runs it.
        version: of the runtime.
        info: its input contract, as the file says it.
        run: computes the outputs.
        run_all: computes every tensor of the deployed graph that this side has.
        layers: per tensor the module path, where the graph is known; else empty.
    """

    path: Path
    runtime: str
    version: str
    info: ModelInfo
    run: Callable[[FloatArray], list[FloatArray]]
    run_all: Callable[[FloatArray], Mapping[str, FloatArray]]
    layers: Mapping[str, str]


@dataclass(frozen=True)
class SideReport:
    """A side as reports show it; `accuracy` is None without labels."""

    path: str
    runtime: str
    version: str
    checkpoint_sha256: str
    accuracy: float | None


@dataclass(frozen=True)
class LayerRow:
    """One tensor that both sides have; `layer` is its module path."""

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
        comparison: of the outputs, value by value.
        agreement: of the decisions; the verdict.
        layers: with `per_layer`, every tensor that both have, in the order of computation.
        layer_images: how many pictures `layers` are about.
    """

    a: SideReport
    b: SideReport
    samples: report.SampleSet
    same_checkpoint: bool | None
    comparison: Comparison
    agreement: Agreement
    layers: tuple[LayerRow, ...]
    layer_images: int

    @property
    def passed(self) -> bool:
        """Whether the two agree by the rule of `fdabnn_deploy.parity`."""
        return self.agreement.passed

    @property
    def first_difference(self) -> LayerRow | None:
        """The first tensor, in the order of computation, that differs anywhere."""
        return next((row for row in self.layers if not row.comparison.equal), None)

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `schemas/parity.schema.json` describes them."""
        content = {"schema_version": SCHEMA_VERSION, "passed": self.passed, **dataclasses.asdict(self)}
        content["agreement"]["share"] = self.agreement.share
        return content

    def write_json(self, path: Path) -> None:
        """Writes the JSON form; a reader sees the whole file or none."""
        report.write_json(path, self.to_json())


def compare_models(
    a: str | Path,
    b: str | Path,
    inputs: str | Path | None = None,
    *,
    per_layer: bool = False,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> ComparisonReport:
    """Runs two models on the same inputs and compares what they compute.

    Args:
        a: a checkpoint, an ONNX file or a TFLite file.
        b: likewise.
        inputs: as `fdabnn_deploy.samples.load` takes them.
        per_layer: compare the inner tensors too, on the first `PER_LAYER_IMAGES` inputs; of a checkpoint
            these are the tensors of its deployed graph.
        mean: per channel, of pixels 0..1, where neither side says it.
        std: likewise.
        progress: told of every stage.
        **reading: of `fdabnn_deploy.checkpoint.read`, for sides that are checkpoints.

    Raises:
        UsageError: a file is missing or of an unknown kind, or the two cannot be compared.
        ModelRefusedError: a file is damaged or cannot be deployed.
        RuntimeMissingError: a runtime is not installed.
    """
    stages = Stages(progress)
    sides = []
    for path in (Path(a), Path(b)):
        with stages.run("open") as stage:
            side = _open(path, {**reading, "mean": mean, "std": std}, per_layer)
            stage.detail, stage.bytes = f"{path.name} on {side.runtime} {side.version}", path.stat().st_size
            sides.append(side)
    first, second = sides
    info = _common_info(first, second, mean, std)
    with stages.run("inputs") as stage:
        samples = sample_sets.load(inputs, info)
        stage.detail = samples.description
    outputs = []
    for side in sides:
        with stages.run("run", f"{side.path.name}, {len(samples)} inputs"):
            outputs.append(side.run(samples.images))
    layers: tuple[LayerRow, ...] = ()
    few = samples.head(PER_LAYER_IMAGES)
    if per_layer:
        with stages.run("layers", f"{len(few)} inputs"):
            layers = _layer_rows(first, second, few.images)
    shas = [side.info.checkpoint_sha256 for side in sides]
    return ComparisonReport(
        a=_side_report(first, outputs[0], samples),
        b=_side_report(second, outputs[1], samples),
        samples=report.SampleSet(
            samples.description, samples.argument, len(samples), samples.labels is not None, samples.synthetic
        ),
        same_checkpoint=shas[0] == shas[1] if all(shas) else None,
        comparison=parity.compare_outputs(outputs[0], outputs[1]),
        agreement=parity.agreement(outputs[0], outputs[1]),
        layers=layers,
        layer_images=len(few) if per_layer else 0,
    )


def _open(path: Path, reading: dict[str, Any], per_layer: bool) -> Side:
    if not path.exists():
        raise UsageError(f"{path} does not exist")
    if path.suffix.lower() in CHECKPOINT_SUFFIXES:
        return _open_checkpoint(path, reading, per_layer)
    try:
        runtime = registry.for_file(path)
    except UsageError as error:
        raise UsageError(f"{error}; checkpoints end in {', '.join(CHECKPOINT_SUFFIXES)}") from None
    session = runtime.open(path)
    return Side(
        path=path,
        runtime=runtime.name,
        version=runtime.version(),
        info=_info_of_file(path, runtime.metadata(path), session),
        run=lambda images: sample_sets.run_in_batches(session, images),
        run_all=lambda images: session.run_all([images]),
        layers={},
    )


def _open_checkpoint(path: Path, reading: dict[str, Any], per_layer: bool) -> Side:
    try:
        import torch
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            f"running {path} needs PyTorch: install it with  pip install 'fdabnn-deploy[export]'"
        ) from None
    from fdabnn_deploy import checkpoint
    from fdabnn_deploy.torch_module import run_module

    source = checkpoint.read(path, **reading)
    run_all: Callable[[FloatArray], Mapping[str, FloatArray]] = lambda images: {}  # noqa: E731
    layers: dict[str, str] = {}
    if per_layer:
        from fdabnn_deploy.capture import capture
        from fdabnn_deploy.deploy import deploy
        from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession

        graph = deploy(capture(source.module, source.info.input_shape)).graph
        session = TorchGraphSession(graph)
        layers = {node.name: node.module for node in graph}
        run_all = lambda images: session.run_all([images])  # noqa: E731
    return Side(
        path=path,
        runtime="torch",
        version=torch.__version__,
        info=source.info,
        run=lambda images: run_module(source.module, images),
        run_all=run_all,
        layers=layers,
    )


def _info_of_file(path: Path, metadata: Mapping[str, str], session: Session) -> ModelInfo:
    """The input contract of an exported file. One of another tool has no metadata: that is no error here."""

    def numbers(key: str) -> tuple[float, ...] | None:
        try:
            value = json.loads(metadata[key])
            return tuple(float(number) for number in value)
        except (KeyError, ValueError, TypeError):
            return None

    if len(session.input_shapes) != 1:
        raise UsageError(
            f"{path} has {len(session.input_shapes)} inputs; models with one input can be compared"
        )
    limits = numbers("input_range")
    return ModelInfo(
        name=path.name,
        input_shape=session.input_shapes[0],
        mean=numbers("mean"),
        std=numbers("std"),
        input_range=(limits[0], limits[1]) if limits and len(limits) == 2 else None,
        checkpoint_sha256=metadata.get("checkpoint_sha256", ""),
    )


def _common_info(
    a: Side, b: Side, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> ModelInfo:
    if a.info.input_shape != b.info.input_shape:
        shapes = [f"{side.path.name} takes {_shape(side.info.input_shape)}" for side in (a, b)]
        raise UsageError(f"{', '.join(shapes)}: the two cannot be compared")
    return replace(
        a.info,
        mean=mean or a.info.mean or b.info.mean,
        std=std or a.info.std or b.info.std,
        input_range=a.info.input_range or b.info.input_range,
    )


def _layer_rows(a: Side, b: Side, images: FloatArray) -> tuple[LayerRow, ...]:
    tensors_a, tensors_b = a.run_all(images), b.run_all(images)
    layers = {**a.layers, **b.layers}
    # The order of computation is known best from a graph, else from the file with more of its tensors, where the
    # tensors stand in order but for the outputs.
    richer = tensors_a if len(tensors_a) >= len(tensors_b) else tensors_b
    order = list(layers) or sorted(richer, key=lambda name: _OUTPUT.fullmatch(name) is not None)
    compared: list[LayerComparison] = parity.compare_layers(tensors_a, tensors_b, order)
    return tuple(
        LayerRow(layers.get(c.tensor) or _module_of(c.tensor), c.tensor, c.shape, c.comparison)
        for c in compared
    )


def _module_of(tensor: str) -> str:
    """Tensors are named `<module path>/<what it is>`."""
    return tensor.rpartition("/")[0]


def _side_report(side: Side, outputs: list[FloatArray], samples: Samples) -> SideReport:
    return SideReport(
        str(side.path),
        side.runtime,
        side.version,
        side.info.checkpoint_sha256,
        parity.accuracy(outputs, samples.labels),
    )


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
