"""Training of an FDA-BNN, resumable, on one device or under torchrun."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.system.files import check_writable, is_standard_output, write_whole
from fdabnn_models.architectures.registry import build_network
from fdabnn_models.checkpoint import cpu_state_dict, save_checkpoint
from fdabnn_models.data.dataset import Dataset, input_range
from fdabnn_models.ranges import record_ranges
from fdabnn_models.training.board import Board, board_path
from fdabnn_models.training.distributed import Ranks
from fdabnn_models.training.initial import initialise
from fdabnn_models.training.lock import lock_for_writing
from fdabnn_models.training.recipe import MOMENTUM, Recipe
from fdabnn_models.training.schedules import alpha_at, learning_rate_at, series_length_at, set_epoch
from fdabnn_models.training.state import ADVICE, is_sound, read_state, write_state

WARMUP_EPOCHS = 1.0
EVAL_BATCH = 500
# Ranges are recorded over so many training images, without augmentation.
RANGE_IMAGES = 10_000
LOG_COLUMNS = (
    "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "alpha", "n", "learning_rate",
    "seconds", "images_per_second",
)  # fmt: skip


class Progress(Protocol):
    """Receiver of a run's progress."""

    def step(self, epoch: int, step: int, steps: int, images_per_second: float) -> None:
        """After every training step."""

    def epoch(self, row: dict[str, float], remaining_seconds: float) -> None:
        """After every epoch, with its log row."""

    def note(self, text: str) -> None:
        """Something the user should know."""


def state_path(out: Path) -> Path:
    """File with the state of an unfinished run, beside its checkpoint."""
    return out.with_name(out.name + ".state")


def log_path(out: Path) -> Path:
    """CSV log of a run, beside its checkpoint."""
    return out.with_name(out.name + ".csv")


def epoch_path(out: Path, epoch: int) -> Path:
    """Checkpoint kept after ``epoch``: ``out.pt`` becomes ``out.epoch20.pt``."""
    return out.with_name(f"{out.stem}.epoch{epoch}{out.suffix}")


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    # Weight decay on convolution and dense weights only: decay of batch norm and slopes gains nothing.
    decayed = [p for p in model.parameters() if p.ndim > 1]
    other = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": other, "weight_decay": 0.0}]


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    groups = _parameter_groups(model, recipe.weight_decay)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=MOMENTUM)


class Trainer:
    """One run: model, optimizer, data, and the state that makes it resumable.

    Args:
        recipe: what decides the result.
        data: labelled images, on ``device`` where they are held in memory.
        out: checkpoint to write; ``.state`` and ``.csv`` files stand beside it.
        device: cpu or cuda.
        ranks: this process among those of ``torchrun``.
        compile_model: train with ``torch.compile``.
        keep_epochs: numbers of finished epochs (1 = after the first) whose checkpoint is kept as well.

    Raises:
        UsageError: unknown architecture or batch size that the ranks cannot share.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        out: Path,
        *,
        device: str = "cpu",
        ranks: Ranks | None = None,
        compile_model: bool = False,
        keep_epochs: tuple[int, ...] = (),
        progress: Progress,
    ) -> None:
        self.recipe = recipe
        self.data = data
        self.out = out
        self.device = torch.device(device)
        self.ranks = ranks or Ranks()
        self.keep_epochs = keep_epochs
        self.progress = progress
        if recipe.batch_size % self.ranks.world:
            raise UsageError(f"--batch-size {recipe.batch_size} cannot be shared by {self.ranks.world} ranks")
        torch.manual_seed(recipe.seed)
        self.model, self.arch_args = build_network(
            recipe.arch, num_classes=len(data.classes), scale=recipe.scale
        )
        self.input_shape = tuple(int(size) for size in getattr(self.model, "input_shape", data.shape))
        if self.input_shape != data.shape:
            raise UsageError(
                f"{recipe.arch} takes inputs of {self.input_shape}, the images of {data.name} are {data.shape}"
            )
        if recipe.init:
            for line in initialise(self.model, Path(recipe.init)).lines():
                progress.note(line)
        self.model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.compiled: Callable[[Tensor], Tensor] = self.model
        if compile_model:
            self.compiled = torch.compile(self.model, dynamic=False)
        self.optimizer = _optimizer(self.model, recipe)
        self.batches = data.batches(recipe.batch_size, recipe.seed)
        self.board = Board(board_path(out), enabled=self.ranks.first)
        self.finished = 0
        self.rows: list[dict[str, float]] = []

    def resume(self) -> bool:
        """Continue from the state file beside ``out``, where there is one.

        Raises:
            UsageError: the state file is damaged or belongs to a run with another recipe, network or data.
        """
        path = state_path(self.out)
        if not path.exists():
            return False
        state = read_state(path, self.device)
        for field in fields(Recipe):
            mine, theirs = getattr(self.recipe, field.name), state["recipe"].get(field.name)
            if mine != theirs:
                raise UsageError(f"{path} belongs to a run with {field.name} {theirs}, not {mine}; {ADVICE}")
        if state["data"] != self.data.digest():
            raise UsageError(f"{path} belongs to a run on other data than --data names now; {ADVICE}")
        try:
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UsageError(
                f"{path} does not fit {self.recipe.arch} as it is now: {reason}; {ADVICE}"
            ) from None
        self.finished = state["finished"]
        self.rows = state["rows"]
        return True

    def check_outputs(self) -> None:
        """Before the first epoch: every file that the run will write can be written.

        Raises:
            UsageError: one cannot; it is named with the reason.
        """
        if not self.ranks.first:
            return
        late = [epoch for epoch in self.keep_epochs if epoch > self.recipe.epochs]
        if late:
            raise UsageError(f"--keep-epoch {late[0]}: the run has {self.recipe.epochs} epochs")
        if self.out.is_char_device() or is_standard_output(self.out):
            raise UsageError(
                f"cannot write {self.out}: a run keeps its state beside its checkpoint, and this is a device; name a file"
            )
        kept = [epoch_path(self.out, epoch) for epoch in self.keep_epochs if epoch < self.recipe.epochs]
        check_writable(self.out)
        for path in (state_path(self.out), log_path(self.out), *kept):
            check_writable(path)
            if path.exists() and not path.is_file():
                raise UsageError(f"cannot write {path}: it is no file; remove it, or choose another --out")

    def run(self) -> float:
        """Train the epochs that are missing and write the checkpoint; returns the test accuracy, 0 .. 1.

        Raises:
            UsageError: an output cannot be written, or another process trains to the same file.
            NotWrittenError: one could not be written, because the disk is full, for example.
            ModelRefusedError: the run does not learn.
        """
        self.check_outputs()
        # Where links lead: under two names, it is one file.
        with (
            lock_for_writing(state_path(Path(os.path.realpath(self.out))))
            if self.ranks.first
            else nullcontext()
        ):
            return self._run()

    def _run(self) -> float:
        while self.finished < self.recipe.epochs:
            self._epoch()
            self._save_state()
            if self.finished in self.keep_epochs and self.finished < self.recipe.epochs:
                self._save_checkpoint(epoch_path(self.out, self.finished))
        self._save_checkpoint(self.out)
        return self.rows[-1]["test_accuracy"]

    def _epoch(self) -> None:
        recipe, epoch, steps = self.recipe, self.finished, self.batches.steps
        start = time.perf_counter()
        set_epoch(self.model, epoch, recipe.epochs)
        self.model.train()
        order = self.batches.order(epoch)
        crop = epoch < recipe.epochs - recipe.plain_epochs
        totals = torch.zeros(2, device=self.device)
        bad = torch.full((), steps, device=self.device)
        rate = 0.0
        for step in range(steps):
            rate = self._set_learning_rate(epoch * steps + step)
            result = self.train_step(epoch, step, order, crop=crop)
            totals += result
            bad = torch.where(result[0].isfinite(), bad, bad.clamp(max=step))
            if self.device.type == "cpu" or step % 50 == 0:
                self._stop_if_not_finite(bad, steps)
                done = (step + 1) * recipe.batch_size
                self.progress.step(epoch, step + 1, steps, done / (time.perf_counter() - start))
        self._stop_if_not_finite(bad, steps)
        self.ranks.average_statistics(self.model)
        train_loss, train_accuracy = (self.ranks.sum(totals) / (steps * self.ranks.world)).tolist()
        if not is_sound(train_loss, len(self.data.classes)):
            raise ModelRefusedError(
                f"the run does not learn: the mean loss of epoch {epoch + 1} is {train_loss:.3g}; {self._last_good()}"
            )
        seconds = time.perf_counter() - start
        test_loss, test_accuracy = self.evaluate()
        values = (
            epoch + 1, train_loss, train_accuracy, test_loss, test_accuracy, alpha_at(epoch, recipe.epochs),
            series_length_at(epoch, recipe.epochs), rate, time.perf_counter() - start,
            steps * recipe.batch_size / seconds,
        )  # fmt: skip
        self.rows.append(dict(zip(LOG_COLUMNS, values, strict=True)))
        self.board.add(self.rows[-1])
        self.finished = epoch + 1
        recent = [row["seconds"] for row in self.rows[-3:]]
        remaining = sum(recent) / len(recent) * (recipe.epochs - self.finished)
        self.progress.epoch(self.rows[-1], remaining)

    def _set_learning_rate(self, step: int) -> float:
        steps, total = self.batches.steps, self.recipe.epochs * self.batches.steps
        warmup = min(int(WARMUP_EPOCHS * steps), total // 10)
        rate = learning_rate_at(step, total, base=self.recipe.lr, warmup=warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def train_step(self, epoch: int, step: int, order: Tensor, *, crop: bool = True) -> Tensor:
        """One batch forward and backward, and the optimizer's step; returns loss and accuracy on this rank, [2].

        Args:
            epoch: 0 .. epochs - 1; it decides the augmentation.
            step: of the epoch.
            order: of the training images, from ``batches.order``.
            crop: random crops.
        """
        batch = self.batches.batch(epoch, step, order, self.ranks.rank, self.ranks.world, crop=crop)
        images, labels = self._on_device(*batch)
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            logits = self.compiled(images)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        self.ranks.average_gradients(self.model)
        self.optimizer.step()
        return torch.stack([loss.detach(), (logits.detach().argmax(1) == labels).float().mean()])

    def _stop_if_not_finite(self, bad: Tensor, steps: int) -> None:
        """Raises where a step of this epoch, of which ``bad`` is the first, had a loss that is not finite."""
        if int(bad) < steps:
            raise ModelRefusedError(
                f"the loss is not finite in epoch {self.finished + 1}, step {int(bad) + 1} of {steps}; {self._last_good()}"
            )

    def _last_good(self) -> str:
        kept = (
            f"{state_path(self.out)} holds epoch {self.finished}" if self.finished else "nothing was written"
        )
        return f"try a smaller --lr ({kept})"

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.recipe.amp)

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float]:
        """Mean loss and accuracy (0 .. 1) on the test part, in eval mode and float32."""
        self.model.eval()
        count = self.data.test_count
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for begin in range(0, count, EVAL_BATCH):
            if begin // EVAL_BATCH % self.ranks.world != self.ranks.rank:
                continue
            images, labels = self._on_device(*self.data.test_batch(begin, min(count, begin + EVAL_BATCH)))
            logits = self.model(images)
            loss = F.cross_entropy(logits, labels, reduction="sum")
            totals += torch.stack([loss, (logits.argmax(1) == labels).sum()])
        self.ranks.sum(totals)
        loss_sum, correct = totals.tolist()
        return loss_sum / count, correct / count

    def _on_device(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor.to(self.device, non_blocking=True) for tensor in tensors)

    def _range_images(self) -> Iterator[Tensor]:
        count = min(RANGE_IMAGES, self.data.train_count)
        for begin in range(0, count, EVAL_BATCH):
            yield from self._on_device(self.data.plain_images(begin, min(count, begin + EVAL_BATCH)))

    def _save_state(self) -> None:
        if self.ranks.first:
            state = {
                "recipe": asdict(self.recipe),
                "data": self.data.digest(),
                "finished": self.finished,
                "rows": self.rows,
                "model": cpu_state_dict(self.model.state_dict()),
                "optimizer": self.optimizer.state_dict(),
            }
            write_state(state_path(self.out), state)
            text = io.StringIO()
            text.write(",".join(LOG_COLUMNS) + "\n")
            for row in self.rows:
                text.write(",".join(f"{row[column]:.6g}" for column in LOG_COLUMNS) + "\n")
            write_whole(log_path(self.out), text.getvalue().encode())
        self.ranks.barrier()

    def _save_checkpoint(self, path: Path) -> None:
        if self.ranks.first:
            row = self.rows[-1]
            training = {
                **asdict(self.recipe),
                "epoch": self.finished,
                **({"momentum": MOMENTUM} if self.recipe.optimizer == "sgd" else {}),
                "learning_rate_schedule": "warm-up and cosine",
                "warmup_epochs": WARMUP_EPOCHS,
                "data": self.data.name,
                "device": self.device.type,
                "ranks": self.ranks.world,
                "torch": str(torch.__version__),
                "train_loss": row["train_loss"],
                "test_accuracy": row["test_accuracy"],
                "alpha": row["alpha"],
                "n": int(row["n"]),
            }
            save_checkpoint(
                path,
                arch=self.recipe.arch,
                arch_args=self.arch_args,
                state_dict=self.model.state_dict(),
                training=training,
                input_shape=self.input_shape,
                mean=self.data.mean,
                std=self.data.std,
                input_range=input_range(self.data.mean, self.data.std),
                classes=self.data.classes,
                ranges=record_ranges(self.model, self._range_images()),
            )
            self.progress.note(f"wrote {path}")
        self.ranks.barrier()
