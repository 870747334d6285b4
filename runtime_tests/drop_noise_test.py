"""A real checkpoint from the middle of a training run: `fixtures/resnet20-cifar10-epoch20.pt`, the shipped network at half its epochs."""

from __future__ import annotations

from pathlib import Path

import pytest

import fdabnn_deploy
from fdabnn_deploy.data import samples
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.runtimes.torch_module import run_module

MIDDLE = Path(__file__).parent / "fixtures" / "resnet20-cifar10-epoch20.pt"
IMAGES = "random:64"


def test_it_is_refused_with_its_layers_and_values(tmp_path: Path) -> None:
    with pytest.raises(fdabnn_deploy.ModelRefusedError, match=r"alpha") as refused:
        fdabnn_deploy.export(MIDDLE, out=tmp_path / "out", samples=IMAGES)
    message = str(refused.value)
    assert "layer1.0.conv1" in message
    assert "0.05" in message
    assert "--drop-noise" in message
    assert not (tmp_path / "out").exists()


def test_dropping_the_noise_says_what_that_changed(tmp_path: Path) -> None:
    report = fdabnn_deploy.export(MIDDLE, targets="onnx", out=tmp_path, samples=IMAGES, drop_noise=True)
    source = checkpoint.read(MIDDLE, drop_noise=True)
    assert source.noisy_module is not None
    images = samples.load(IMAGES, source.info).images
    (trained,), (dropped,) = (run_module(m, images) for m in (source.noisy_module, source.module))
    noise = report.dropped_noise
    assert noise is not None
    assert len(noise.alpha) == 18
    assert noise.top1_agreement == (trained.argmax(1) == dropped.argmax(1)).mean() < 1
    assert noise.max_abs == pytest.approx(float(abs(trained - dropped).max()), rel=1e-3)
