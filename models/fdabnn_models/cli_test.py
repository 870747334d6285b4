from __future__ import annotations

import errno
import io
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fdabnn_models import cli
from fdabnn_models.architectures import registry
from fdabnn_models.data.image_folder_test import write as write_images
from fdabnn_models.training.lock import lock_for_writing
from fdabnn_models.training.train_test import Tiny


@pytest.fixture
def tiny_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_architecture", lambda name: Tiny)
    monkeypatch.setattr(registry, "architecture_names", lambda: ["tiny"])


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
        ({"lr": "nan"}, "--lr takes a number from 1e-12 to 1000000.0, not nan"),
        ({"lr": "inf"}, "--lr takes a number"),
        ({"lr": "1e300"}, "--lr takes a number"),
        ({"weight-decay": "nan"}, "--weight-decay takes a number from 0 to"),
        ({"weight-decay": "inf"}, "--weight-decay takes a number from 0 to"),
        ({"seed": "9" * 23}, "--seed takes a number from 0 to 4294967295"),
        ({"epochs": "9" * 23}, "--epochs takes a number from 1 to 1000000"),
        ({"threads": "100000"}, "Invalid value for '--threads'"),
        ({"keep-epoch": "5", "epochs": "1"}, "--keep-epoch 5: the run has 1 epochs"),
        ({"mean": "0.5,0.5,0.5", "std": "0,0,0"}, "std must be above 0 in every channel"),
        ({"mean": "0.5,0.5,0.5", "std": "-1,1,1"}, "std must be above 0 in every channel"),
        ({"mean": "nan,0,0", "std": "1,1,1"}, "--mean takes 3 finite numbers here"),
        ({"mean": "0.5", "std": "0.5"}, "--mean takes 3 finite numbers here"),
        ({"mean": "0.5,0.5,0.5"}, "--mean and --std go together"),
        ({"mean": "120,120,120", "std": "60,60,60"}, "not on the scale of pixels 0..1"),
        ({"out": "/dev/null"}, "cannot write /dev/null: a run keeps its state beside its checkpoint"),
        ({"out": "/dev/stdout"}, "cannot write /dev/stdout: a run keeps its state beside its checkpoint"),
        ({"batch-size": "4000"}, "a batch of 4000 is larger than the 80 training images"),
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


@pytest.mark.usefixtures("tiny_architecture")
def test_a_file_that_is_trained_to_is_nobody_elses_through_a_link_either(
    tiny_cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    link = tmp_path / "elsewhere" / "link.pt"
    link.parent.mkdir()
    link.symlink_to(tmp_path / "net.pt")
    for out in (tmp_path / "net.pt", link, link.parent / ".." / "net.pt"):
        with lock_for_writing(tmp_path / "net.pt.state"):
            assert cli.main(arguments(tiny_cifar, out, epochs="1")) == 2
        assert f"another process trains to {tmp_path / 'net.pt.state'}: wait" in capsys.readouterr().err
    assert cli.main(arguments(tiny_cifar, link, epochs="1")) == 0
    assert link.is_symlink()
    assert (tmp_path / "net.pt").is_file()


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


OWN = """
import torch
from torch import nn

class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.where(x < 0, -1.0, 1.0)
    @staticmethod
    def backward(ctx, grad):
        return grad

class Net(nn.Module):
    input_shape = (3, 32, 32)
    def __init__(self, num_classes=7):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=4)
        self.head = nn.Linear(4, num_classes)
    def forward(self, x):
        return self.head(Sign.apply(self.stem(x)).mean((2, 3)))
"""


def test_own_network_trains_from_a_recipe_and_from_a_file(
    tiny_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_net_for_training.py").write_text(OWN)
    (tmp_path / "mine.yaml").write_text("epochs: 1\nbatch_size: 20\nseed: 3\nlr: 0.5\n")
    monkeypatch.chdir(tmp_path)
    model = "own_net_for_training:Net"
    first = [
        "--model",
        model,
        "--data",
        str(tiny_cifar),
        "--recipe",
        "mine.yaml",
        "--out",
        "a.pt",
        "--lr",
        "0.01",
    ]
    assert cli.main(first) == 0
    content = torch.load("a.pt", weights_only=True)
    assert content["state_dict"]["head.weight"].shape == (10, 4)
    training = content["training"]
    assert (training["arch"], training["lr"], training["seed"], training["epochs"]) == (model, 0.01, 3, 1)
    capsys.readouterr()
    assert cli.main([*first, "--init", "a.pt", "--out", "b.pt"]) == 0
    assert "--init gave 4 tensors" in capsys.readouterr().out
    assert torch.load("b.pt", weights_only=True)["training"]["init"] == "a.pt"


@pytest.mark.usefixtures("tiny_architecture")
def test_image_folders_train(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "shapes")
    assert cli.main(arguments(folder, tmp_path / "net.pt", **{"batch-size": "4"})) == 0
    content = torch.load(tmp_path / "net.pt", weights_only=True)
    assert (content["classes"], content["training"]["data"]) == (["cat", "dog"], "shapes")
    assert content["arch_args"]["num_classes"] == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("fdabnn-train ")


def test_a_pipe_hears_of_a_long_epoch_every_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with cli.TerminalProgress(2, enabled=True) as progress:
        for step in range(1, 7):
            clock[0] += 25
            progress.step(0, step, 6, 10.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[2] for line in lines] == ["step 3/6", "step 6/6"]


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _text(path: Path) -> None:
    path.write_text("hello")


@pytest.mark.usefixtures("tiny_architecture")
@pytest.mark.parametrize(
    ("name", "make", "code"),
    [
        ("net.pt", _folder, 2),
        ("net.pt.state", _folder, 2),
        ("net.pt.csv", _folder, 2),
        ("net.pt.state", _pipe, 2),
        ("net.pt.csv", _pipe, 2),
        ("net.pt.state", _text, 2),
        ("net.pt.state", Path.touch, 2),
        ("net.pt", _text, 0),
        ("net.pt.csv", _text, 0),
    ],
)
def test_what_stands_at_an_output_is_told_or_a_file_replaced(
    tiny_cifar: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    make: Callable[[Path], None],
    code: int,
) -> None:
    place = tmp_path / name
    make(place)
    kind = place.stat().st_mode
    assert cli.main(arguments(tiny_cifar, tmp_path / "net.pt")) == code
    assert place.stat().st_mode == kind
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.count("\n") == (code != 0)
    assert code == 0 or name in error


@pytest.mark.usefixtures("tiny_architecture")
def test_checkpoint_goes_into_a_pipe(tiny_cifar: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.pt"
    os.mkfifo(out)
    with subprocess.Popen(["cat", str(out)], stdout=subprocess.PIPE) as reader:
        assert cli.main(arguments(tiny_cifar, out, epochs="1")) == 0
        assert reader.stdout is not None
        content = torch.load(io.BytesIO(reader.stdout.read()), weights_only=True)
    assert content["training"]["epoch"] == 1
    assert out.is_fifo()


@pytest.mark.usefixtures("tiny_architecture")
def test_full_disk_is_one_line_and_keeps_the_last_epoch(
    tiny_cifar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "net.pt"
    written = []
    original = os.fsync

    def full(handle: int) -> None:
        written.append(handle)
        if len(written) > 2:  # the state and the log of the first epoch
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert cli.main(arguments(tiny_cifar, out)) == 6
    assert "cannot write" in (error := capsys.readouterr().err)
    assert "No space left on device" in error
    assert torch.load(tmp_path / "net.pt.state", weights_only=True)["finished"] == 1
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "net.pt.csv",
        "net.pt.state",
    ]
