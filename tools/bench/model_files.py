"""The networks that are timed, exported once by our own API and kept outside the checkout."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cc import cache_folder

ROOT = Path(__file__).resolve().parents[2]
_SAMPLES = "random:2"
_STATISTICS_BATCHES, _STATISTICS_BATCH = 2, 4


@dataclass(frozen=True)
class Model:
    """A network: its name, and its source with what `fdabnn_deploy.export` has to know of it."""

    name: str
    source: Callable[[], tuple[Any, ...]]


def _resnet18() -> tuple[Any, ...]:
    """Random weights, so that nothing has to be downloaded; batch norm statistics of noise, so that signs are not all alike."""
    import torch

    from fdabnn_models.resnet18 import resnet18

    torch.manual_seed(0)
    network = resnet18()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None
    network.train()
    with torch.no_grad():
        for _ in range(_STATISTICS_BATCHES):
            network(torch.randn(_STATISTICS_BATCH, 3, 224, 224))
    return network.eval(), torch.zeros(1, 3, 224, 224)


def _resnet20() -> tuple[Any, ...]:
    return (ROOT / "models" / "checkpoints" / "resnet20-cifar10.pt",)


MODELS: tuple[Model, ...] = (Model("resnet18", _resnet18), Model("resnet20", _resnet20))


def files(model: Model, *, fresh: bool = False) -> tuple[Path, Path]:
    """The model as .tflite and as .onnx; with exact numerics, so that all runtimes have to give the same bits.

    Args:
        model: one of `MODELS`.
        fresh: whether to export it even where it lies ready, because the exporter has changed.
    """
    folder = cache_folder() / model.name
    found = folder / f"{model.name}.tflite", folder / f"{model.name}.onnx"
    if fresh or not all(path.is_file() for path in found):
        import fdabnn_deploy

        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{model.name}-", dir=folder.parent) as work:
            out = Path(work, "files")
            fdabnn_deploy.export(
                *model.source(), targets=["onnx", "tflite"], out=out, samples=_SAMPLES, name=model.name
            )
            shutil.rmtree(folder, ignore_errors=True)
            out.replace(folder)
    return found
