"""CIFAR-10 from its official Python batches, and the augmented batches of training.

The batches are pickles; the core's reader takes them without running what they say.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fdabnn_deploy import cifar10
from fdabnn_deploy.errors import UsageError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# Per-channel statistics of the training pictures on the scale 0 .. 1.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
PICTURE = (3, 32, 32)
PAD = 4
TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_FILE = "test_batch"
FOLDERS = ("", "cifar-10", "cifar-10-batches-py")


def read_batch(path: Path) -> tuple[Tensor, Tensor]:
    """Read one official batch file, plain or ``.xz``; see ``fdabnn_deploy.cifar10.read_batch``.

    Returns:
        pictures (N, 3, 32, 32) uint8 and labels (N,) int64.

    Raises:
        UsageError: the file is not a CIFAR-10 batch, is damaged, or asks to run code.
    """
    pictures, labels = cifar10.read_batch(path)
    return torch.from_numpy(pictures), torch.from_numpy(labels)


def find_batches(folder: Path) -> dict[str, Path]:
    """Find the six batch files, plain or ``.xz``, in ``folder`` or its ``cifar-10`` or ``cifar-10-batches-py``.

    Raises:
        UsageError: there is no such folder, or a file is missing.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; --data names the folder with the CIFAR-10 batches")
    names = (*TRAIN_FILES, TEST_FILE)
    best: dict[str, Path] = {}
    for sub in FOLDERS:
        found = {}
        for name in names:
            for candidate in (folder / sub / name, folder / sub / f"{name}.xz"):
                if candidate.is_file():
                    found[name] = candidate
                    break
        if len(found) == len(names):
            return found
        best = max(best, found, key=len)
    missing = ", ".join(name for name in names if name not in best)
    raise UsageError(
        f"CIFAR-10 is not complete in {folder}: missing {missing} (plain or .xz); unpack "
        "cifar-10-python.tar.gz there, or name another folder with --data"
    )


@dataclass(frozen=True)
class Cifar10:
    """Pictures (N, 3, 32, 32) uint8 and labels (N,) int64 of both parts, on one device."""

    train_pictures: Tensor
    train_labels: Tensor
    test_pictures: Tensor
    test_labels: Tensor

    @functools.cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256()
        for part in (self.train_pictures, self.train_labels, self.test_pictures, self.test_labels):
            digest.update(f"{part.dtype} {tuple(part.shape)};".encode())
            digest.update(part.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def digest(self) -> str:
        """SHA-256 of both parts, by which a run knows its data again."""
        return self._digest


def load_cifar10(folder: Path, device: torch.device | str = "cpu") -> Cifar10:
    """Read all six batches of CIFAR-10 from ``folder`` (see ``find_batches``) onto ``device``."""
    paths = find_batches(folder)
    train = [read_batch(paths[name]) for name in TRAIN_FILES]
    test_pictures, test_labels = read_batch(paths[TEST_FILE])
    return Cifar10(
        torch.cat([pictures for pictures, _ in train]).to(device),
        torch.cat([labels for _, labels in train]).to(device),
        test_pictures.to(device),
        test_labels.to(device),
    )


def input_range() -> tuple[float, float]:
    """Smallest and largest value that a normalised picture can hold."""
    low = min(-mean / std for mean, std in zip(MEAN, STD, strict=True))
    high = max((1 - mean) / std for mean, std in zip(MEAN, STD, strict=True))
    return low, high


def normalise(pictures_nhwc: Tensor) -> Tensor:
    """``(x / 255 - mean) / std`` of bytes (N, H, W, 3); float32 (N, 3, H, W) in channels-last memory."""
    device = pictures_nhwc.device
    mean = torch.tensor(MEAN, device=device)
    std = torch.tensor(STD, device=device)
    return ((pictures_nhwc.to(torch.float32) / 255 - mean) / std).permute(0, 3, 1, 2)


class AugmentedBatches:
    """Batches of the training part: random crop from 4 pixels of black border, random flip.

    Order and augmentation depend on (seed, epoch, batch index) alone, so training can resume at any epoch
    with the same batches. The last, smaller batch of an epoch is left out (another permutation leaves other
    pictures out). With several ranks each takes every ``world``-th picture of the same global batch.
    """

    def __init__(self, pictures: Tensor, labels: Tensor, batch_size: int, *, seed: int) -> None:
        if batch_size > len(pictures):
            raise UsageError(f"a batch of {batch_size} is larger than the {len(pictures)} training pictures")
        padded = torch.nn.functional.pad(pictures, (PAD, PAD, PAD, PAD))
        self.padded = padded.permute(0, 2, 3, 1).contiguous()
        self.labels = labels
        self.batch_size = batch_size
        self.seed = seed
        self.steps = len(pictures) // batch_size

    def _generator(self, *key: int) -> torch.Generator:
        entropy = np.random.SeedSequence((self.seed, *key)).generate_state(2, np.uint32)
        return torch.Generator().manual_seed(int(entropy[0]) << 31 | int(entropy[1]) >> 1)

    def order(self, epoch: int) -> Tensor:
        """Permutation of the training pictures in ``epoch``."""
        return torch.randperm(len(self.labels), generator=self._generator(epoch))

    def batch(
        self, epoch: int, step: int, order: Tensor, rank: int = 0, world: int = 1, *, crop: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Batch ``step`` of ``epoch``: float32 (B / world, 3, 32, 32) channels-last, labels (B / world,).

        Without ``crop`` every picture keeps its place and is at most flipped.
        """
        device = self.padded.device
        index = order[step * self.batch_size : (step + 1) * self.batch_size]
        generator = self._generator(epoch, step + 1)
        offsets = torch.randint(0, 2 * PAD + 1, (2, len(index)), generator=generator)
        if not crop:
            offsets.fill_(PAD)
        flips = torch.rand(len(index), generator=generator) < 0.5
        index, flips, offsets = index[rank::world], flips[rank::world], offsets[:, rank::world]
        side = torch.arange(PICTURE[1])
        rows = offsets[0][:, None] + side
        columns = offsets[1][:, None] + torch.where(flips[:, None], side.flip(0), side)
        index, rows, columns = index.to(device), rows.to(device), columns.to(device)
        pictures = self.padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return normalise(pictures), self.labels[index]
