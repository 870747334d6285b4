"""The price of exactness in the files of an export, beside the same files with float numerics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.measure.layer_prices import FilePrice, Forms, Pricer, price_file, price_layers
from fdabnn_deploy.pipeline import pixel_inputs
from fdabnn_deploy.pipeline.form import Form
from fdabnn_deploy.pipeline.report import LatencyRow
from fdabnn_deploy.pipeline.verification import CheckedFile
from fdabnn_deploy.system.progress import Stages
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.target import Target

SECONDS = 0.2
"""Of the processor, for the times of all files; what is left then has bytes only."""


def forms_of(form: Form, plain: Graph, info: ModelInfo) -> Forms:
    """Both forms of a deployed graph.

    Args:
        form: the exact one.
        plain: as it was deployed, before it took pixels.
        info: of the files.
    """
    floats = pixel_inputs.unfolded(plain, info)
    layers = tuple(
        (row.tensor, row.module) for row in form.grids or () if row.tensor in floats and row.tensor in plain
    )
    return Forms(form.composed, floats, frozenset(node.name for node in plain), layers)


def price_rows(
    targets: Sequence[Target],
    files: Sequence[CheckedFile],
    latency: Sequence[LatencyRow],
    forms: Forms,
    info: ModelInfo,
    options: Callable[[Target], ConvertOptions],
    folder: Path,
    stages: Stages,
) -> tuple[FilePrice, ...]:
    """One table per file whose format can be measured, on its default runtime.

    Args:
        targets: of the files.
        files: in the same order.
        latency: measured times of all files.
        forms: of the network.
        info: of the files.
        options: that a target's file is written with.
        folder: for files of single layers.
        stages: told of it.
    """
    found = []
    with stages.run("prices", "each exact layer alone, and as a float layer") as stage:
        for target, file in zip(targets, files, strict=True):
            if target.measuring is None:
                continue
            runtime = file.runtimes[0]
            pricer = Pricer(target, runtime, info, options(target), folder)
            layers = price_layers(forms, pricer, SECONDS / len(targets))
            timed = (row for row in latency if (row.target, row.runtime) == (target.name, runtime.name))
            size = file.artifact.path.stat().st_size
            whole = next((row.latency.median_ms for row in timed), None)
            found.append(price_file(target.name, runtime.name, size, whole, layers))
        stage.detail = f"{len(forms.layers)} exact layers alone, and as float layers"
    return tuple(found)
