"""A data set whose images lie in memory, or in that of the device, as bytes; crops and flips of whole batches at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from fdabnn_models.data.dataset import SeededOrder, normalise

PAD = 4


@dataclass(frozen=True)
class ArrayDataset:
    """Images (N, C, H, W) uint8 and labels (N,) int64 of both parts, on one device; see ``dataset.Dataset``."""

    name: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        _, channels, height, width = self.train_images.shape
        return channels, height, width

    @property
    def train_count(self) -> int:
        return len(self.train_labels)

    @property
    def test_count(self) -> int:
        return len(self.test_labels)

    def with_normalisation(self, mean: Sequence[float], std: Sequence[float]) -> ArrayDataset:
        """The same images with another mean and deviation."""
        return replace(self, mean=tuple(mean), std=tuple(std))

    def digest(self) -> str:
        digest = hashlib.sha256(repr((self.mean, self.std)).encode())
        for part in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(f"{part.dtype} {tuple(part.shape)};".encode())
            digest.update(part.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def batches(self, batch_size: int, seed: int) -> AugmentedBatches:
        return AugmentedBatches(self, batch_size, seed=seed)

    def test_batch(self, begin: int, end: int) -> tuple[Tensor, Tensor]:
        return self._normalised(self.test_images[begin:end]), self.test_labels[begin:end]

    def plain_images(self, begin: int, end: int) -> Tensor:
        return self._normalised(self.train_images[begin:end])

    def _normalised(self, images: Tensor) -> Tensor:
        return normalise(images.permute(0, 2, 3, 1), self.mean, self.std)


class AugmentedBatches(SeededOrder):
    """Batches of the training part: random crop from 4 pixels of black border, random flip.

    With several ranks each takes every ``world``-th image of the same global batch.
    """

    def __init__(self, data: ArrayDataset, batch_size: int, *, seed: int) -> None:
        super().__init__(data.train_count, batch_size, seed)
        padded = F.pad(data.train_images, (PAD, PAD, PAD, PAD))
        self.padded = padded.permute(0, 2, 3, 1).contiguous()
        self.data = data

    def batch(
        self, epoch: int, step: int, order: Tensor, rank: int = 0, world: int = 1, *, crop: bool = True
    ) -> tuple[Tensor, Tensor]:
        """See ``dataset.Batches``. Without ``crop`` every image keeps its place and is at most flipped."""
        _, height, width = self.data.shape
        device = self.padded.device
        index, random = self.drawn(epoch, step, order)
        offsets = torch.randint(0, 2 * PAD + 1, (2, len(index)), generator=random)
        if not crop:
            offsets.fill_(PAD)
        flips = torch.rand(len(index), generator=random) < 0.5
        index, flips, offsets = index[rank::world], flips[rank::world], offsets[:, rank::world]
        side = torch.arange(width)
        rows = offsets[0][:, None] + torch.arange(height)
        columns = offsets[1][:, None] + torch.where(flips[:, None], side.flip(0), side)
        index, rows, columns = index.to(device), rows.to(device), columns.to(device)
        images = self.padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return normalise(images, self.data.mean, self.data.std), self.data.train_labels[index]
