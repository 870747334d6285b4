"""The whole CIFAR-10 test set: accuracy of every shipped checkpoint in PyTorch, ONNX Runtime and LCE, and how far they agree."""

from __future__ import annotations

from pathlib import Path

import pytest

import fdabnn_deploy
from fdabnn_deploy.cli.console import make_console
from fdabnn_deploy.cli.export import print_report
from fdabnn_deploy.parity import TOP1_THRESHOLD

SHIPPED = sorted((Path(__file__).parents[1] / "models" / "checkpoints").glob("*.pt"))
LEAST_ACCURACY = 0.78


@pytest.mark.long
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_10000_pictures(
    path: Path, cifar10_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = fdabnn_deploy.export(path, out=tmp_path, samples=f"{cifar10_folder}:all")
    with capsys.disabled():
        print_report(make_console(), report)
    assert report.samples.images == 10000
    accuracies = [report.torch_accuracy, *(row.accuracy for row in report.parity)]
    for accuracy in accuracies:
        assert accuracy is not None
        assert accuracy >= LEAST_ACCURACY
        # Agreement bounds how far accuracies can part.
        assert abs(accuracy - (report.torch_accuracy or 0)) <= 1 - TOP1_THRESHOLD
    assert [row.agreement.share >= TOP1_THRESHOLD for row in report.parity] == [True, True, True]
    assert all(row.passed for row in report.twins)
    recorded = report.model.training.get("test_accuracy")
    if recorded is not None:
        assert report.torch_accuracy == pytest.approx(recorded, abs=0.002)
