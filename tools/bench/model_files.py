"""The networks that are timed, exported once by our own API and kept outside the checkout."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.cc import cache_folder

ROOT = Path(__file__).resolve().parents[2]
_SAMPLES = "random:2"
_STATISTICS_BATCHES, _STATISTICS_BATCH = 2, 4
_FEW = 4


@dataclass(frozen=True)
class Model:
    """A network that is timed.

    Attributes:
        name: of its files.
        source: what `fdabnn_deploy.export` exports.
        numerics: exact, or float where every float sum of the network is exact by itself.
    """

    name: str
    source: Callable[[], tuple[Any, ...]]
    numerics: Literal["exact", "float"] = "exact"


def random_resnet18() -> tuple[Any, ...]:
    """Random weights, so that nothing has to be downloaded; batch norm statistics of noise, so that signs are not all alike."""
    import torch

    from fdabnn_models.architectures.resnet18 import resnet18

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


def _plain_resnet18() -> tuple[Any, ...]:
    """ResNet-18 whose weights make every sum exact in float32, for images in steps of 1/4.

    So it can be exported without exact numerics, which split the float layers, and still has to give the same bits on all runtimes. Float
    weights are -1, 0 and 1 (the 1x1 and dense layers few of them per output: sums stay below 2^24 steps), batch norms scale by 1 and
    shift by multiples of 1/8. Max-pooling stands for the mean at the end, whose division by 49 rounds. What it costs to run does not
    depend on any of that.
    """
    import torch

    from fdabnn_models.architectures.resnet18 import resnet18
    from fdabnn_models.layers.binary import FDAConv2d

    generator = torch.Generator().manual_seed(0)

    def signs(shape: tuple[int, ...]) -> torch.Tensor:
        return 2.0 * torch.randint(0, 2, shape, generator=generator) - 1

    def few(shape: tuple[int, ...]) -> torch.Tensor:
        places = torch.rand(shape, generator=generator).flatten(1).argsort(dim=1)
        return signs(shape) * (places < _FEW).view(shape)

    network: Any = resnet18()
    network.pool = torch.nn.MaxPool2d(7)
    for layer in network.modules():
        if isinstance(layer, FDAConv2d):
            layer.weight.data = signs(tuple(layer.weight.shape)) / 8
        elif isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            shape = tuple(layer.weight.shape)
            layer.weight.data = signs(shape) / 16 if shape[2:] == (7, 7) else few(shape)
            if layer.bias is not None:
                layer.bias.data.zero_()
        elif isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = 0.0
            layer.bias.data = torch.randint(-16, 17, layer.bias.shape, generator=generator) / 8
    return network.eval(), torch.zeros(1, 3, 224, 224)


def _resnet20() -> tuple[Any, ...]:
    return (ROOT / "models" / "checkpoints" / "resnet20-cifar10.pt",)


MODELS: tuple[Model, ...] = (
    Model("resnet18-float", _plain_resnet18, "float"),
    Model("resnet18", random_resnet18),
    Model("resnet20", _resnet20),
)


def files(model: Model, *, fresh: bool = False) -> tuple[Path, Path, Path]:
    """The model as .tflite, as .onnx, and as .onnx with packed kernels, of which all runtimes have to give the same bits.

    Args:
        model: one of `MODELS`.
        fresh: whether to export it even where it lies ready, because the exporter has changed.
    """
    folder = cache_folder() / model.name
    names = (f"{model.name}{suffix}" for suffix in (".tflite", ".onnx", ".packed.onnx"))
    tflite, onnx, packed = (folder / name for name in names)
    if fresh or not all(path.is_file() for path in (tflite, onnx, packed)):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{model.name}-", dir=folder.parent) as work:
            out = Path(work, "files")
            # The packed file takes the name of the standard one, which then follows.
            _export(model, out, ["onnx"], "packed")
            (out / onnx.name).replace(out / packed.name)
            _export(model, out, ["onnx", "tflite"], "standard")
            shutil.rmtree(folder, ignore_errors=True)
            out.replace(folder)
    return tflite, onnx, packed


def _export(model: Model, out: Path, targets: list[str], kernels: Literal["standard", "packed"]) -> None:
    import fdabnn_deploy

    fdabnn_deploy.export(
        *model.source(),
        targets=targets,
        out=out,
        samples=_SAMPLES,
        numerics=model.numerics,
        kernels=kernels,
        name=model.name,
    )
