"""One process of a training setting: reads a number of steps per line, trains them, and answers with the seconds they took.

    python -m bench.training.worker ARCH BATCH FORM AMP THREADS

Under several ranks the environment describes the group, as torchrun does. Images are random; augmentation, loss, gradients' average and
optimizer's step are those of `fdabnn-train`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from itertools import count
from pathlib import Path

import torch

from fdabnn_deploy.measure.timer import elapsed
from fdabnn_models.data.arrays import ArrayDataset
from fdabnn_models.data.cifar10 import CLASSES, IMAGE, MEAN, STD
from fdabnn_models.training.distributed import join_ranks, leave_ranks
from fdabnn_models.training.memory import keep_freed_memory
from fdabnn_models.training.recipe import Recipe
from fdabnn_models.training.schedules import set_epoch
from fdabnn_models.training.train import Trainer

IMAGES = 4096
EPOCH, EPOCHS = 3, 40


class Silent:
    """A receiver of progress that nobody watches."""

    def step(self, epoch: int, step: int, steps: int, images_per_second: float) -> None: ...

    def epoch(self, row: dict[str, float], remaining_seconds: float) -> None: ...

    def note(self, text: str) -> None: ...


def random_images() -> ArrayDataset:
    """Random bytes in the form of CIFAR-10."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, *IMAGE), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, 10, (IMAGES,), generator=generator)
    return ArrayDataset("random", CLASSES, MEAN, STD, images, labels, images[:10], labels[:10])


def main() -> None:
    """Trains as standard input says, until it ends."""
    arch, batch, form, amp, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    keep_freed_memory()
    ranks = join_ranks("cpu")
    recipe = Recipe(arch, EPOCHS, batch_size=int(batch), amp=amp == "amp")
    with tempfile.TemporaryDirectory() as folder:
        run = Trainer(
            recipe,
            random_images(),
            Path(folder) / "net.pt",
            ranks=ranks,
            compile_model=form == "compiled",
            progress=Silent(),
        )
    set_epoch(run.model, EPOCH, EPOCHS)
    run.model.train()
    order, steps = run.batches.order(EPOCH), count()
    for line in sys.stdin:
        took = elapsed(lambda: run.train_step(EPOCH, next(steps) % run.batches.steps, order), int(line))
        print(json.dumps({"wall": took.wall, "cpu": took.processor}), flush=True)
    leave_ranks()


if __name__ == "__main__":
    main()
