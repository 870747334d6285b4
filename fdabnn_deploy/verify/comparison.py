"""Compares any two models, checkpoints or exported files, each on its own runtime: behind `fdabnn-parity`.

Which comparisons are judged:

| the two sides                                       | verdict                                            |
|-----------------------------------------------------|----------------------------------------------------|
| two files                                           | by bits                                            |
| a checkpoint and a file with exact numerics         | by bits: the checkpoint takes the file's numerics  |
| one that has, or takes, float numerics              | none: reported, not promised                       |
| one that takes pixels, one normalised images        | none: both get the same images                     |
| any two, with `atol`                                | by bits, but for values within the tolerance       |

A file also runs on the further runtimes that are installed for it, and is compared with itself: by bits where it has
exact numerics, whatever the other side is; else reported only.

Float numerics have: a file exported so, a checkpoint beside such a file, beside one that does not say, or beside
another checkpoint, and the trained model, `<checkpoint>:float`.
"""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.data import samples as sample_sets
from fdabnn_deploy.data.labels import check_labels
from fdabnn_deploy.data.sample_set import SampleSet
from fdabnn_deploy.data.samples import Samples
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.frontend.inputs.description import given_normalisation
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.system import choices
from fdabnn_deploy.system.progress import Progress, Stages
from fdabnn_deploy.verify import metrics, opened_models, reproducer
from fdabnn_deploy.verify.comparison_report import ComparisonReport, LayerRow, SideReport
from fdabnn_deploy.verify.cross_runtime import RuntimeRow, compare_across_runtimes
from fdabnn_deploy.verify.opened_models import Side

if TYPE_CHECKING:
    from torch import nn

PER_LAYER_IMAGES = 8
_OPTIONS = {"arch_args": "--arch-arg"}
_OUTPUT = re.compile(r"output(_\d+)?")


def compare_models(
    a: str | Path | nn.Module,
    b: str | Path | nn.Module,
    inputs: str | Path | FloatArray | None = None,
    *,
    per_layer: bool = False,
    reproduce: str | Path | None = None,
    atol: float | None = None,
    runtimes: Sequence[str] = (),
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    progress: Progress | None = None,
    memory_limit: int | None = None,
    **reading: Any,
) -> ComparisonReport:
    """Runs two models on the same inputs and compares what they compute; see the module.

    Args:
        a: a checkpoint, with or without `:float`, an ONNX file, a TFLite file, or a module in eval mode beside one of these files.
        b: likewise.
        inputs: as `fdabnn_deploy.data.samples.load` takes them, or an array [N, ...] by the rules of an `.npz` file's.
        per_layer: compare the inner tensors too, on `PER_LAYER_IMAGES` inputs: those whose outputs differ, else
            the first; of a checkpoint these are the tensors of its deployed graph.
        reproduce: a new folder for the first layer that differs, see `fdabnn_deploy.verify.reproducer`; implies
            `per_layer`.
        atol: absolute tolerance; values within it pass, and the verdict says how many needed it.
        runtimes: names of further runtimes that the files have to give the same bits on, see `fdabnn_deploy.runtimes.registry`.
        mean: per channel, of pixels 0..1, where neither side says it.
        std: likewise.
        progress: told of every stage.
        memory_limit: bytes that a compressed checkpoint or inputs may expand to, by default `fdabnn_deploy.system.memory.EXPANDED`.
        **reading: of `fdabnn_deploy.frontend.checkpoint.read` or `from_module`, for sides that are checkpoints or modules.

    Raises:
        UsageError: a file is missing or of an unknown kind, or the two cannot be compared; or no file runs on a runtime of `runtimes`;
            or `reading` says something and neither side is a checkpoint or module.
        ModelRefusedError: a file is damaged or cannot be deployed.
        RuntimeMissingError: a runtime is not installed.
    """
    per_layer, runtimes = choices.yes_or_no(per_layer, "per_layer"), choices.names(runtimes, "runtimes")
    if atol is not None and not (_is_number(atol) and 0 <= atol < math.inf):
        raise UsageError(f"the tolerance {atol!r} is not a number of 0 or more")
    models = tuple(Path(model) if isinstance(model, str) else model for model in (a, b))
    folder = None if reproduce is None else Path(reproduce)
    if folder is not None:
        reproducer.check_folder(folder)
        if not any(map(opened_models.has_graph, models)):
            raise UsageError("a layer is cut out of a checkpoint's graph: name the checkpoint as A or B")
    per_layer = per_layer or folder is not None
    stages = Stages(progress)
    _check_runtimes(runtimes, models)
    _check_reading(models, reading)
    first, second = _open(
        models, {**reading, "mean": mean, "std": std}, per_layer, runtimes, memory_limit, stages
    )
    info = _common_info(first, second, mean, std)
    with stages.run("inputs") as stage:
        samples = (
            sample_sets.from_array(inputs, info)
            if isinstance(inputs, np.ndarray)
            else sample_sets.load(inputs, info, memory_limit)
        )
        stage.detail = samples.description
    outputs = []
    fed = {side.name: samples.fed(side.info) for side in (first, second)}
    for side in (first, second):
        with stages.run("run", f"{side.name}, {len(samples)} inputs"):
            outputs.append(side.run(fed[side.name]))
        if outputs[-1][0].ndim == 2:
            check_labels(samples.labels, outputs[-1][0].shape[1], samples.description)
    comparison = metrics.compare_outputs(outputs[0], outputs[1], atol)
    if comparison.values == 0:
        raise ModelRefusedError(
            f"the outputs of {first.name} and {second.name} hold no values on these inputs: there is nothing to compare"
        )
    rows = [
        row
        for side, computed in zip((first, second), outputs, strict=True)
        for row in _on_other_runtimes(side, fed[side.name], computed, atol, stages)
    ]
    layers: tuple[LayerRow, ...] = ()
    chosen: NDArray[np.int64] = np.arange(0)
    written = None
    if per_layer:
        chosen = metrics.differing_images(outputs[0], outputs[1])[:PER_LAYER_IMAGES]
        if not len(chosen):
            chosen = np.arange(min(len(samples), PER_LAYER_IMAGES))
        with stages.run("layers", f"{len(chosen)} inputs"):
            tensors = first.run_all(fed[first.name][chosen]), second.run_all(fed[second.name][chosen])
            layers = _layer_rows(first, second, tensors, chosen, atol)
        if folder is not None:
            written = _reproduce(folder, (first, second), tensors, layers, chosen, stages)
    shas = [side.info.checkpoint_sha256 for side in (first, second)]
    records = [side.numerics for side in (first, second)]
    return ComparisonReport(
        a=_side_report(first, outputs[0], samples),
        b=_side_report(second, outputs[1], samples),
        samples=SampleSet(
            samples.description,
            samples.argument,
            len(samples),
            samples.labels is not None,
            samples.synthetic,
            samples.notes,
        ),
        same_checkpoint=shas[0] == shas[1] if all(shas) else None,
        same_numerics=records[0] == records[1] if None not in records else None,
        atol=atol,
        not_judged=_not_judged(first, second, atol),
        comparison=comparison,
        agreement=metrics.agreement(outputs[0], outputs[1]),
        runtimes=tuple(rows),
        layers=layers,
        layer_images=tuple(map(int, chosen)),
        reproduction=written,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check_runtimes(names: Sequence[str], models: Sequence[Path | nn.Module]) -> None:
    files = [model for model in models if isinstance(model, Path) and not opened_models.is_checkpoint(model)]
    suffixes = {path.suffix.lower() for path in files}
    for name in names:
        known = registry.get(name).suffixes
        if suffixes.isdisjoint(known):
            raise UsageError(
                f"runtime '{name}' opens files that end in {', '.join(known)}: neither side is one"
            )


def _check_reading(models: Sequence[Path | nn.Module], reading: Mapping[str, Any]) -> None:
    """Refuses options that would do nothing: exported files say themselves what they are."""
    given = [name for name, value in reading.items() if value is not None and value is not False]
    if given and not any(map(opened_models.has_graph, models)):
        options = ", ".join(_OPTIONS.get(name, f"--{name.replace('_', '-')}") for name in given)
        raise UsageError(
            f"{options}: this is about reading a checkpoint, and neither side is one: leave it out, or name the checkpoint as A or B"
        )


def _open(
    models: Sequence[Path | nn.Module],
    reading: dict[str, Any],
    inner: bool,
    runtimes: Sequence[str],
    memory_limit: int | None,
    stages: Stages,
) -> tuple[Side, Side]:
    """Opens both, files first: a checkpoint takes its numerics from the file beside it, and a module its input shape too."""
    opened: dict[int, Side] = {}
    for i in sorted((0, 1), key=lambda i: opened_models.has_graph(models[i])):
        with stages.run("open") as stage:
            model, other = models[i], opened.get(1 - i)
            other = None if other is None or other.runtime == opened_models.CHECKPOINT_RUNTIME else other
            if not isinstance(model, Path):
                side = opened_models.open_module(model, reading, other, inner=inner)
            elif opened_models.is_checkpoint(model):
                side = opened_models.open_checkpoint(
                    model, {**reading, "memory_limit": memory_limit}, other, inner=inner
                )
            else:
                side = opened_models.open_file(model, runtimes)
            stage.detail = f"{side.name} on {side.runtime} {side.version}"
            stage.bytes = None if side.path is None else side.path.stat().st_size
            opened[i] = side
    return opened[0], opened[1]


def _on_other_runtimes(
    side: Side, images: Array, outputs: list[FloatArray], atol: float | None, stages: Stages
) -> list[RuntimeRow]:
    if not side.further:
        return []
    exact = side.numerics is not None and side.numerics.mode == "exact"
    names = ", ".join(f"{other.runtime} {other.version}" for other in side.further if other.session)
    with stages.run("run", f"{side.name} on {names} too"):
        return list(
            compare_across_runtimes(side.name, side.runtime, exact, side.further, images, outputs, atol)
        )


def _not_judged(a: Side, b: Side, atol: float | None) -> str:
    """The reason why equal bits were not promised for these two models; empty if they were."""
    checkpoints = [side for side in (a, b) if side.runtime == opened_models.CHECKPOINT_RUNTIME]
    files = [side for side in (a, b) if side.runtime != opened_models.CHECKPOINT_RUNTIME]
    floats = [
        side for side in (*files, *checkpoints) if side.numerics is not None and side.numerics.mode == "float"
    ]
    if atol is None and a.info.input_format != b.info.input_format:
        names = [side.name for side in (a, b) if side.info.input_format == "pixels"]
        return f"{names[0]} takes pixels and the other side normalised images: equal bits are promised among files of one input form only"
    if atol is not None or not floats:
        return ""
    side = floats[0]
    if side in files:
        return f"{side.name} has float numerics"
    if side.trained:
        return f"{side.name} is the trained model"
    if files:
        return f"{files[0].name} does not record numerics for {side.name} to take"
    return "two checkpoints have no recorded numerics"


def _common_info(
    a: Side, b: Side, mean: tuple[float, ...] | None, std: tuple[float, ...] | None
) -> ModelInfo:
    if a.info.input_shape != b.info.input_shape:
        raise opened_models.different_inputs(*((side.name, side.info.input_shape) for side in (a, b)))
    mean, std = given_normalisation(mean, std, a.info.input_shape)
    for side in (a, b):
        _check_normalisation(side, "mean", mean)
        _check_normalisation(side, "std", std)
    return replace(
        a.info,
        mean=mean or a.info.mean or b.info.mean,
        std=std or a.info.std or b.info.std,
        input_range=a.info.input_range or b.info.input_range,
    )


def _check_normalisation(side: Side, name: str, given: tuple[float, ...] | None) -> None:
    """Refuses numbers other than those that a side was made with: files of pixels hold them inside."""
    recorded: tuple[float, ...] | None = getattr(side.info, name)
    if given is None or recorded is None or np.allclose(given, recorded, rtol=1e-6, atol=0):
        return
    theirs, ours = (",".join(f"{value:g}" for value in values) for values in (recorded, given))
    raise UsageError(
        f"--{name} {ours}: {side.name} was made with {theirs}: leave --mean and --std out, or export it again with others"
    )


def _layer_rows(
    a: Side,
    b: Side,
    tensors: tuple[Mapping[str, FloatArray], Mapping[str, FloatArray]],
    images: NDArray[np.int64],
    atol: float | None,
) -> tuple[LayerRow, ...]:
    layers = {**a.layers, **b.layers}
    # The order of computation is known best from a graph, else from the file with more of its tensors, where the
    # tensors stand in order but for the outputs.
    richer = max(tensors, key=len)
    order = list(layers) or sorted(richer, key=lambda name: _OUTPUT.fullmatch(name) is not None)
    rows = []
    for found in metrics.compare_layers(*tensors, order, atol):
        comparison, first = found.comparison, found.comparison.first
        if first is not None:
            moved = (int(images[first.index[0]]), *first.index[1:])
            comparison = replace(comparison, first=replace(first, index=moved))
        layer = layers.get(found.tensor) or found.tensor.rpartition("/")[0]
        rows.append(LayerRow(layer, found.tensor, found.shape, comparison))
    return tuple(rows)


def _reproduce(
    folder: Path,
    pair: tuple[Side, Side],
    tensors: tuple[Mapping[str, FloatArray], Mapping[str, FloatArray]],
    layers: tuple[LayerRow, ...],
    images: NDArray[np.int64],
    stages: Stages,
) -> str | None:
    row = next((row for row in layers if not row.comparison.equal), None)
    if row is None or row.comparison.first is None:
        return None
    graph = next(side.graph for side in pair if side.graph is not None)
    if row.tensor not in graph:
        raise UsageError(
            f"{row.tensor} differs, which the checkpoint's graph does not have: it cannot be cut out"
        )
    position = int(np.flatnonzero(images == row.comparison.first.index[0])[0])
    equal = {found.tensor for found in layers if found.comparison.equal}
    one = [{name: value[position : position + 1] for name, value in side.items()} for side in tensors]
    with stages.run("reproduce", f"{row.tensor} into {folder}"):
        case = reproducer.Case(
            graph=graph,
            tensor=row.tensor,
            index=(0, *row.comparison.first.index[1:]),
            equal=frozenset(equal),
            values=one[0] if pair[0].graph is not None else one[1],
            a=(pair[0].name, one[0][row.tensor]),
            b=(pair[1].name, one[1][row.tensor]),
        )
        reproducer.write(folder, case)
    return str(folder)


def _side_report(side: Side, outputs: list[FloatArray], samples: Samples) -> SideReport:
    return SideReport(
        path=side.name,
        what=side.what,
        runtime=side.runtime,
        version=side.version,
        numerics="unknown" if side.numerics is None else side.numerics.mode,
        checkpoint_sha256=side.info.checkpoint_sha256,
        allowed_change=side.info.allowed_change,
        fidelity=side.info.fidelity,
        accuracy=metrics.accuracy(outputs, samples.labels),
        checksum=side.checksum,
        notes=side.notes,
    )
