from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fdabnn_models import architectures, cli, train
from fdabnn_models.train_test import Tiny


@pytest.fixture
def tiny_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "find_architecture", lambda name: Tiny)
    monkeypatch.setattr(architectures, "architecture_names", lambda: ["tiny"])


def arguments(folder: Path, target: Path, /, **changes: str) -> list[str]:
    options = {
        "arch": "tiny",
        "data": str(folder),
        "epochs": "2",
        "out": str(target),
        "batch-size": "20",
        **changes,
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


@pytest.mark.usefixtures("tiny_architecture")
def test_run_in_a_pipe_prints_one_line_per_epoch_and_resumes(
    tiny_cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.pt"
    assert cli.main([*arguments(tiny_cifar.parent, out), "--keep-epoch", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    epochs = [line for line in lines if "epoch " in line and "images/s" in line]
    assert len(epochs) == 2
    assert "epoch 1/2" in epochs[0]
    assert "left" in epochs[0]
    accuracy = torch.load(out, weights_only=True)["training"]["test_accuracy"]
    assert lines[-1] == f"test accuracy {accuracy:.2%}"
    assert (tmp_path / "net.epoch1.pt").exists()
    assert cli.main(arguments(tiny_cifar.parent, out)) == 0
    assert "continuing after epoch 2" in capsys.readouterr().out


@pytest.mark.usefixtures("tiny_architecture")
@pytest.mark.parametrize(
    ("changes", "lr", "decay"),
    [({}, 0.1, 1e-4), ({"optimizer": "adam"}, 1e-3, 0.0), ({"optimizer": "adam", "lr": "0.01"}, 0.01, 0.0)],
)
def test_learning_rate_and_decay_follow_the_optimizer(
    tiny_cifar: Path, tmp_path: Path, changes: dict[str, str], lr: float, decay: float
) -> None:
    out = tmp_path / "net.pt"
    assert cli.main(arguments(tiny_cifar, out, epochs="1", **changes)) == 0
    training = torch.load(out, weights_only=True)["training"]
    assert (training["lr"], training["weight_decay"]) == (lr, decay)


@pytest.mark.usefixtures("tiny_architecture")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"arch": "resnet99"}, "there is no architecture 'resnet99'; known: tiny"),
        ({"data": "nowhere"}, "nowhere is not a folder; --data names"),
        ({"epochs": "0"}, "Invalid value for '--epochs'"),
        ({"epochs": "many"}, "'many' is not a valid integer"),
        ({"lr": "0"}, "Invalid value for '--lr'"),
        ({"scale": "filter"}, "'filter' is not one of"),
        ({"optimizer": "lion"}, "'lion' is not one of"),
        ({"device": "tpu"}, "'tpu' is not one of"),
        ({"batch-size": "4000"}, "a batch of 4000 is larger than the 80 training pictures"),
    ],
)
def test_wrong_usage_is_one_clear_error(
    tiny_cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str], reason: str
) -> None:
    assert cli.main(arguments(tiny_cifar, tmp_path / "net.pt", **changes)) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_missing_options_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "Missing option" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
@pytest.mark.usefixtures("tiny_architecture")
def test_missing_device_has_its_own_exit_code(
    tiny_cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments(tiny_cifar, tmp_path / "net.pt", device="cuda")) == 6
    assert "no CUDA device; use --device cpu" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    assert "--keep-epoch" in capsys.readouterr().out
