"""The checkpoints that are exported: of formats that every commit reads."""

from __future__ import annotations

from pathlib import Path

from bench.cc import cache_folder
from bench.model_files import ROOT

NAMES = ("resnet20", "resnet18")


def checkpoint(name: str) -> Path:
    """The checkpoint of a network of `NAMES`, made where it is not there yet."""
    return ROOT / "models" / "checkpoints" / "resnet20-cifar10.pt" if name == "resnet20" else _resnet18()


def _resnet18() -> Path:
    """ResNet-18 for images of 224x224, with random weights and the statistics of noise: how long an export takes hangs on neither."""
    path = cache_folder() / "resnet18-224.pt"
    if not path.is_file():
        import torch

        from bench.model_files import random_resnet18
        from fdabnn_models.checkpoint import save_checkpoint

        network, example = random_resnet18()
        path.parent.mkdir(parents=True, exist_ok=True)
        save_checkpoint(
            path,
            arch="resnet18",
            arch_args={"num_classes": 1000, "scale": "tensor"},
            state_dict=network.state_dict(),
            training={"arch": "resnet18", "torch": str(torch.__version__)},
            input_shape=list(example.shape[1:]),
            mean=[0.485, 0.456, 0.406],
            std=[0.229, 0.224, 0.225],
            input_range=[-2.2, 2.7],
            classes=[f"class {index}" for index in range(1000)],
            ranges={},
        )
    return path
