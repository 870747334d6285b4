from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_models.architectures import registry
from fdabnn_models.conftest import write_batches
from fdabnn_models.data.cifar10 import load_cifar10
from fdabnn_models.layers.binary import FDAConv2d, Scale
from fdabnn_models.training.distributed import Ranks
from fdabnn_models.training.recipe import Recipe
from fdabnn_models.training.train import Trainer, epoch_path, log_path, state_path

RECIPE = Recipe("tiny", epochs=3, batch_size=20, lr=0.05, seed=4)
SOURCES = Path(__file__).parents[2]
FIND_ARCHITECTURE = registry.find_architecture


class Tiny(nn.Module):
    """A float stem, one binary convolution and a linear layer: everything that training handles."""

    input_shape = (3, 32, 32)

    def __init__(self, *, num_classes: int, scale: Scale) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv = FDAConv2d(8, 8, 3, padding=1, scale=scale)
        self.prelu = nn.PReLU()
        self.bn2 = nn.BatchNorm2d(8)
        self.linear = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn1(self.stem(x))
        x = self.bn2(self.prelu(self.conv(x))) + x
        logits: torch.Tensor = self.linear(x.mean((2, 3)))
        return logits


class Collected:
    """Keeps what a run reports."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.notes: list[str] = []
        self.steps = 0

    def step(self, epoch: int, step: int, steps: int, images_per_second: float) -> None:
        self.steps += 1

    def epoch(self, row: dict[str, float], remaining_seconds: float) -> None:
        self.rows.append(row)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def tiny_architecture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_architecture", lambda name: Tiny)


def trainer(
    data: Path, out: Path, recipe: Recipe = RECIPE, keep: tuple[int, ...] = (), ranks: Ranks | None = None
) -> Trainer:
    return Trainer(recipe, load_cifar10(data), out, keep_epochs=keep, ranks=ranks, progress=Collected())


def weights(path: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


def test_run_writes_a_complete_checkpoint_and_log(tiny_cifar: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.pt"
    run = trainer(tiny_cifar, out, keep=(2,))
    accuracy = run.run()
    content = torch.load(out, weights_only=True)
    assert content["arch"] == "tiny"
    assert content["arch_args"] == {"num_classes": 10, "scale": "tensor"}
    assert content["input_shape"] == [3, 32, 32]
    assert content["training"]["epoch"] == content["training"]["epochs"] == 3
    assert content["training"]["test_accuracy"] == accuracy
    assert "optimizer" not in content
    assert content["input_range"][0] < 0 < content["input_range"][1]
    assert {"input", "bn1", "bn2", "linear"} <= content["ranges"].keys()
    assert weights(out)["conv.alpha"] == 0
    middle = torch.load(epoch_path(out, 2), weights_only=True)
    assert middle["training"]["epoch"] == 2
    assert middle["state_dict"]["conv.alpha"] > 0
    lines = log_path(out).read_text().splitlines()
    assert lines[0].startswith("epoch,train_loss,")
    assert [line.split(",")[0] for line in lines[1:]] == ["1", "2", "3"]
    fresh = Tiny(**content["arch_args"])
    fresh.load_state_dict(content["state_dict"])
    assert trainer(tiny_cifar, tmp_path / "other.pt").evaluate() != run.evaluate()
    run.model = fresh
    assert run.evaluate()[1] == accuracy


def test_training_learns(tiny_cifar: Path, tmp_path: Path) -> None:
    run = trainer(tiny_cifar, tmp_path / "net.pt", replace(RECIPE, epochs=12))
    run.run()
    assert run.rows[-1]["train_loss"] < 0.7 * run.rows[0]["train_loss"]


def test_adam_learns_and_is_recorded(tiny_cifar: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=12, optimizer="adam", lr=0.01, weight_decay=0.0)
    run = trainer(tiny_cifar, tmp_path / "net.pt", recipe)
    run.run()
    assert run.rows[-1]["train_loss"] < 0.7 * run.rows[0]["train_loss"]
    training = torch.load(tmp_path / "net.pt", weights_only=True)["training"]
    assert training["optimizer"] == "adam"
    assert "momentum" not in training


def test_only_the_plain_epochs_at_the_end_go_without_crop(
    tiny_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(tiny_cifar, tmp_path / "net.pt", replace(RECIPE, plain_epochs=2))
    seen: list[tuple[int, bool]] = []
    original = run.batches.batch

    def note(epoch: int, step: int, *args: Any, crop: bool) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append((epoch, crop))
        return original(epoch, step, *args, crop=crop)

    monkeypatch.setattr(run.batches, "batch", note)
    run.run()
    assert set(seen) == {(0, True), (1, False), (2, False)}


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_resumed_run_equals_the_unbroken_one(tiny_cifar: Path, tmp_path: Path, stop_after: int) -> None:
    whole, broken = tmp_path / "whole.pt", tmp_path / "broken.pt"
    trainer(tiny_cifar, whole).run()
    first = trainer(tiny_cifar, broken)
    assert not first.resume()
    for _ in range(stop_after):
        first._epoch()
        first._save_state()
    first._epoch()  # killed before this epoch was saved
    assert not broken.exists()
    second = trainer(tiny_cifar, broken)
    assert second.resume()
    assert second.finished == stop_after
    second.run()
    expected, got = weights(whole), weights(broken)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    keep = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "learning_rate")
    assert [[row[k] for k in keep] for row in second.rows] == [
        [row[k] for k in keep] for row in torch.load(state_path(whole), weights_only=True)["rows"]
    ]


def test_state_of_another_recipe_is_refused(tiny_cifar: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.pt"
    trainer(tiny_cifar, out).run()
    other = trainer(tiny_cifar, out, replace(RECIPE, lr=0.2))
    with pytest.raises(UsageError, match=r"run with lr 0\.05, not 0\.2; delete it"):
        other.resume()


@pytest.mark.parametrize("damage", ["cut", "text", "other"])
def test_damaged_state_is_refused(tiny_cifar: Path, tmp_path: Path, damage: str) -> None:
    out = tmp_path / "net.pt"
    trainer(tiny_cifar, out).run()
    state = state_path(out)
    raw = {"cut": state.read_bytes()[:3000], "text": b"hello", "other": pickle.dumps([1], protocol=2)}[damage]
    state.write_bytes(raw)
    with pytest.raises(UsageError, match=r"net\.pt\.state is not a readable training state.*delete it"):
        trainer(tiny_cifar, out).resume()


def test_state_of_other_data_is_refused(tiny_cifar: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.pt"
    trainer(tiny_cifar, out).run()
    other = write_batches(tmp_path / "cifar-10", images_per_batch=17)
    with pytest.raises(UsageError, match="a run on other data than --data names now; delete it"):
        trainer(other, out).resume()


def test_state_of_a_changed_network_is_refused(
    tiny_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "net.pt"
    trainer(tiny_cifar, out).run()

    class Wider(Tiny):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.more = nn.Linear(2, 2)

    monkeypatch.setattr(registry, "find_architecture", lambda name: Wider)
    with pytest.raises(UsageError, match=r"does not fit tiny as it is now: .*more\.weight"):
        trainer(tiny_cifar, out).resume()


@pytest.mark.parametrize("taken", ["net.pt", "net.pt.state", "net.pt.csv", "net.epoch2.pt"])
def test_outputs_that_cannot_be_written_are_said_before_the_first_epoch(
    tiny_cifar: Path, tmp_path: Path, taken: str
) -> None:
    (tmp_path / taken).mkdir()
    run = trainer(tiny_cifar, tmp_path / "net.pt", keep=(2,))
    with pytest.raises(UsageError, match=taken.replace(".", r"\.")):
        run.run()
    assert run.finished == 0


def test_run_that_does_not_learn_keeps_the_last_good_epoch(tiny_cifar: Path, tmp_path: Path) -> None:
    out = tmp_path / "net.pt"
    run = trainer(tiny_cifar, out)
    run._epoch()
    run._save_state()
    good = state_path(out).read_bytes()
    with torch.no_grad():
        run.model.linear.weight.mul_(1e6)  # type: ignore[operator, union-attr]
    with pytest.raises(ModelRefusedError, match=r"mean loss of epoch 2 is .*net\.pt\.state holds epoch 1"):
        run.run()
    assert state_path(out).read_bytes() == good
    assert not out.exists()


def test_step_that_is_not_finite_is_named(
    tiny_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trainer(tiny_cifar, tmp_path / "net.pt")
    original = run.train_step

    def train_step(epoch: int, step: int, *args: Any, **kwargs: Any) -> torch.Tensor:
        values = original(epoch, step, *args, **kwargs)
        return values * float("nan") if (epoch, step) == (1, 2) else values

    monkeypatch.setattr(run, "train_step", train_step)
    with pytest.raises(ModelRefusedError, match="not finite in epoch 2, step 3 of 4; try a smaller --lr"):
        run.run()
    assert torch.load(state_path(run.out), weights_only=True)["finished"] == 1


def test_batch_must_be_shareable_and_not_too_large(tiny_cifar: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--batch-size 20 cannot be shared by 3 ranks"):
        trainer(tiny_cifar, tmp_path / "net.pt", ranks=Ranks(0, 3))
    with pytest.raises(UsageError, match="batch of 81 is larger than the 80"):
        trainer(tiny_cifar, tmp_path / "net.pt", replace(RECIPE, batch_size=81))


def test_network_for_other_images_is_refused(
    tiny_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tiny, "input_shape", (3, 224, 224))
    with pytest.raises(UsageError, match=r"tiny takes inputs of \(3, 224, 224\)"):
        trainer(tiny_cifar, tmp_path / "net.pt")


def test_unknown_architecture_is_refused(
    tiny_cifar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "find_architecture", FIND_ARCHITECTURE)
    with pytest.raises(UsageError, match="no architecture 'resnet99'"):
        trainer(tiny_cifar, tmp_path / "net.pt", replace(RECIPE, arch="resnet99"))


RANK_SCRIPT = """
import sys
from pathlib import Path

import torch
from fdabnn_models.architectures import registry
from fdabnn_models.data.cifar10 import load_cifar10
from fdabnn_models.conftest import write_batches
from fdabnn_models.training import train
from fdabnn_models.training.distributed import join_ranks, leave_ranks
from fdabnn_models.training.train_test import RECIPE, Collected, Tiny

torch.set_num_threads(1)
registry.find_architecture = lambda name: Tiny
ranks = join_ranks("cpu")
run = train.Trainer(RECIPE, load_cifar10(Path(sys.argv[1])), Path(sys.argv[2]) / "net.pt", ranks=ranks,
                    progress=Collected())
run.run()
torch.save({"model": run.model.state_dict(), "rows": run.rows}, Path(sys.argv[2]) / f"rank{ranks.rank}.pt")
leave_ranks()
"""


@pytest.mark.slow
def test_two_ranks_stay_identical_and_learn(tiny_cifar: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(RANK_SCRIPT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    paths = os.pathsep.join([str(SOURCES), str(SOURCES.parent), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=127.0.0.1",
         f"--master-port={port}", str(script), str(tiny_cifar), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True,
        timeout=300,
    )  # fmt: skip
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    for name, value in ranks[0]["model"].items():
        assert torch.equal(value, ranks[1]["model"][name]), name
    for key in ("train_loss", "test_loss", "test_accuracy"):
        assert [row[key] for row in ranks[0]["rows"]] == [row[key] for row in ranks[1]["rows"]]
    losses = [row["train_loss"] for row in ranks[0]["rows"]]
    assert losses[-1] < losses[0]
    saved = torch.load(tmp_path / "net.pt", weights_only=True)
    assert saved["training"]["ranks"] == 2
    assert all(torch.equal(value, ranks[0]["model"][name]) for name, value in saved["state_dict"].items())
