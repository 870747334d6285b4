"""VGG-small, ResNet-18, AlexNet: random weights, batch norm statistics of real images; equal bits, and truth to the float network."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import fdabnn_deploy
from fdabnn_deploy.cli.console import make_console
from fdabnn_deploy.cli.tables.export_tables import print_grids, print_parity, print_proofs, print_truth
from fdabnn_deploy.data import samples
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_models.architectures.alexnet import alexnet
from fdabnn_models.architectures.resnet18 import resnet18
from fdabnn_models.architectures.vgg_small import vgg_small
from fdabnn_models.data import cifar10

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEAST_AGREEMENT = 0.85
LARGEST_MEAN_CHANGE = 0.01
BATCH = 16


def with_statistics(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """Gives a fresh network hostile gammas, the running statistics of the images, and a last layer that decides for many classes."""
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 0.7, 0.5, generator=generator)
            nn.init.normal_(layer.bias, 0, 0.3, generator=generator)
            layer.momentum = None
    network.train()
    with torch.no_grad():
        for begin in range(0, len(images), BATCH):
            network(images[begin : begin + BATCH])
        network.eval()
        logits = torch.cat([network(images[b : b + BATCH]) for b in range(0, len(images), BATCH)])
        last = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
        last.bias.sub_(logits.mean(dim=0))
    return network


@pytest.mark.long
@pytest.mark.parametrize(
    ("build", "data", "count"),
    [(vgg_small, "cifar-10", 512), (resnet18, "imagenet-sample", 64), (alexnet, "imagenet-sample", 64)],
)
def test_every_bit_is_equal_and_the_network_is_still_itself(
    build: Callable[[], nn.Module],
    data: str,
    count: int,
    data_dir: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = data_dir / data / "images" if data == "imagenet-sample" else data_dir
    if not (data_dir / data).exists():
        pytest.skip(f"no {data} in {data_dir}; set FDABNN_DATA to the folder that holds it")
    torch.manual_seed(0)
    network = build()
    mean, std = (cifar10.MEAN, cifar10.STD) if data == "cifar-10" else (IMAGENET_MEAN, IMAGENET_STD)
    shape: tuple[int, ...] = network.input_shape  # type: ignore[assignment]
    images = samples.load(f"{folder}:{count}", ModelInfo("net", shape, mean, std)).images
    with_statistics(network, torch.from_numpy(images))
    report = fdabnn_deploy.export(
        network,
        torch.zeros(1, *shape),
        out=tmp_path,
        samples=f"{folder}:{count}",
        mean=mean,
        std=std,
        name=build.__name__,
        allow_change=True,
    )
    with capsys.disabled():
        console = make_console()
        console.print(f"\n{build.__name__}")
        for show in (print_grids, print_truth, print_parity, print_proofs):
            show(console, report)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        console.print(f"exported in {report.seconds:.1f} s, the process's peak so far is {peak / 1e9:.1f} GB")
    assert report.samples.images == len(images)
    assert all(row.comparison.differing == 0 for row in report.parity)
    assert all(proof.proved for proof in report.proofs)
    # Never trained, such a network wavers: one thread or two for its statistics decide whether it keeps all decisions of 64 images or 57.
    assert report.gate.layers.passed
    assert report.truth.agreement.share >= LEAST_AGREEMENT
    assert report.truth.comparison.mean_abs <= LARGEST_MEAN_CHANGE * report.truth.output_range
    # Negative gammas are among the scales, or this says nothing about them.
    gammas = [m.weight for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(np.any(gamma.detach().numpy() < 0) for gamma in gammas)
