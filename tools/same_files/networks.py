"""Exports three networks by the public API alone, so that it runs in any checkout: `python tools/same_files/networks.py FOLDER`.

The shipped ResNet-20, a VGG-small and a ResNet-18 of seed 0 whose batch norms have the statistics of noise; ONNX files with standard and
with packed kernels, and TFLite files.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

CHECKPOINT = Path(__file__).resolve().parents[2] / "models" / "checkpoints" / "resnet20-cifar10.pt"
_SAMPLES = "random:2"


def _drawn(arch: str, size: int) -> tuple[Any, ...]:
    """An architecture by its name, with seeded weights, and an input of its size."""
    import torch

    (entry,) = entry_points(group="fdabnn_deploy.architectures", name=arch)
    torch.manual_seed(0)
    network = entry.load()()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            layer.momentum = None
        if hasattr(layer, "alpha") and isinstance(layer.alpha, float):
            layer.alpha = 0.0
    network.train()
    with torch.no_grad():
        for _ in range(2):
            network(torch.randn(4, 3, size, size))
    return network.eval(), torch.zeros(1, 3, size, size)


def export_all(folder: Path) -> None:
    """Exports the three networks into `folder`, a subfolder for each kind of kernels."""
    import fdabnn_deploy

    networks: dict[str, tuple[Any, ...]] = {
        "resnet20": (CHECKPOINT,),
        "vgg_small": _drawn("vgg_small", 32),
        "resnet18": _drawn("resnet18", 224),
    }
    for name, source in networks.items():
        options: dict[str, Any] = {"samples": _SAMPLES, "name": name}
        fdabnn_deploy.export(*source, targets=["onnx", "tflite"], out=folder / "standard", **options)
        fdabnn_deploy.export(*source, targets=["onnx"], kernels="packed", out=folder / "packed", **options)
        print(name, flush=True)


if __name__ == "__main__":
    export_all(Path(sys.argv[1]))
