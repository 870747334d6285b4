"""A BiBench FDA checkpoint, exported and compared with the forward of the independent network that wrote it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

import fdabnn_deploy
from fdabnn_deploy.runtimes import registry


@pytest.mark.parametrize("bireal", [False, True], ids=["plain", "bireal"])
def test_exported_outputs_are_those_of_the_independent_network(
    bibench_fda: ModuleType, tmp_path: Path, bireal: bool
) -> None:
    form = bibench_fda.Form(bireal=bireal)
    network = bibench_fda.train(form, steps=3)
    bibench_fda.save(network, form, tmp_path / "latest.pth")
    images = bibench_fda.images(form, 64, seed=50).numpy()
    report = fdabnn_deploy.export(
        tmp_path / "latest.pth",
        out=tmp_path / "out",
        samples=images,
        input_shape=(3, form.side, form.side),
        arch_args={"bireal": True} if bireal else None,
    )
    assert report.model.dialect == "bibench"
    assert sum(layer.one_bit for layer in report.coverage) == 2 * sum(form.blocks)
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    assert expected.std() > 0.01
    for artifact in report.artifacts:
        path = Path(artifact.path)
        (computed,) = registry.for_file(path).open(path).run([images])
        near = np.isclose(computed, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())
        assert near.all(axis=1).mean() > 0.9


def test_dropping_the_noise_of_mid_training_is_reported(bibench_fda: ModuleType, tmp_path: Path) -> None:
    form = bibench_fda.Form()
    network = bibench_fda.train(form, steps=4, finished=False)
    bibench_fda.save(network, form, tmp_path / "best.pth")
    images = bibench_fda.images(form, 200, seed=60).numpy()
    # The report is about the network as trained; exact numerics would change outputs a little more.
    settings = {
        "input_shape": (3, form.side, form.side), "samples": images, "targets": "onnx", "numerics": "float"
    }  # fmt: skip
    with pytest.raises(fdabnn_deploy.ModelRefusedError, match="--drop-noise"):
        fdabnn_deploy.export(tmp_path / "best.pth", out=tmp_path / "refused", **settings)
    assert not (tmp_path / "refused").exists()
    report = fdabnn_deploy.export(tmp_path / "best.pth", out=tmp_path / "out", drop_noise=True, **settings)
    noise = report.dropped_noise
    assert noise is not None
    assert len(noise.alpha) == 2 * sum(form.blocks)
    assert all(alpha > 0 for alpha in noise.alpha.values())
    with torch.no_grad():
        as_trained = network(torch.from_numpy(images)).numpy()
    path = Path(report.artifacts[0].path)
    (computed,) = registry.for_file(path).open(path).run([images])
    agreement = float(np.mean(computed.argmax(axis=1) == as_trained.argmax(axis=1)))
    assert agreement < 1
    assert noise.top1_agreement == pytest.approx(agreement, abs=0.01)
    assert noise.max_abs == pytest.approx(float(np.abs(computed - as_trained).max()), rel=0.05)
