"""Training data: the protocol that the trainer knows, normalisation, and finding out of what kind a folder is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.frontend.inputs.description import given_normalisation


class Batches(Protocol):
    """Augmented batches of the training part, which depend on (seed, epoch, step) alone."""

    steps: int

    def order(self, epoch: int) -> Tensor:
        """Permutation of the training images in ``epoch``."""

    def batch(
        self, epoch: int, step: int, order: Tensor, rank: int = 0, world: int = 1, *, crop: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Batch ``step`` of ``epoch``: normalised float32 (B / world, C, H, W) in channels-last memory, labels (B / world,)."""


class Dataset(Protocol):
    """Labelled images in two parts.

    Attributes:
        name: such as cifar-10.
        classes: names by label.
        shape: (C, H, W).
        mean: per channel, on the scale 0 .. 1.
        std: likewise.
        train_count: images of the training part.
        test_count: images of the test part.
    """

    @property
    def name(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> tuple[int, int, int]: ...
    @property
    def mean(self) -> tuple[float, ...]: ...
    @property
    def std(self) -> tuple[float, ...]: ...
    @property
    def train_count(self) -> int: ...
    @property
    def test_count(self) -> int: ...

    def digest(self) -> str:
        """Hash by which a run knows its data again."""

    def batches(self, batch_size: int, seed: int) -> Batches:
        """The training part, augmented.

        Raises:
            UsageError: a batch is larger than the training part.
        """

    def test_batch(self, begin: int, end: int) -> tuple[Tensor, Tensor]:
        """Normalised images ``begin`` .. ``end - 1`` of the test part, and their labels."""

    def plain_images(self, begin: int, end: int) -> Tensor:
        """Normalised images of the training part without augmentation."""


def normalise(images_nhwc: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """``(x / 255 - mean) / std`` of bytes (N, H, W, C); float32 (N, C, H, W) in channels-last memory."""
    device = images_nhwc.device
    means, stds = torch.tensor(mean, device=device), torch.tensor(std, device=device)
    return ((images_nhwc.to(torch.float32) / 255 - means) / stds).permute(0, 3, 1, 2)


def input_range(mean: Sequence[float], std: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest value that a normalised image can hold."""
    low = min(-m / s for m, s in zip(mean, std, strict=True))
    high = max((1 - m) / s for m, s in zip(mean, std, strict=True))
    return low, high


def generator(*key: int) -> torch.Generator:
    """A generator of random numbers that depends on the key alone."""
    entropy = np.random.SeedSequence(key).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(entropy[0]) << 31 | int(entropy[1]) >> 1)


class SeededOrder:
    """Which images are in which batch: it depends on (seed, epoch, step) alone, so training can resume at any epoch.

    The last, smaller batch of an epoch is left out (another permutation leaves other images out).

    Raises:
        UsageError: a batch is larger than the training part.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        if batch_size > count:
            raise UsageError(f"a batch of {batch_size} is larger than the {count} training images")
        self.count, self.batch_size, self.seed = count, batch_size, seed
        self.steps = count // batch_size

    def order(self, epoch: int) -> Tensor:
        """Permutation of the training images in ``epoch``."""
        return torch.randperm(self.count, generator=generator(self.seed, epoch))

    def drawn(self, epoch: int, step: int, order: Tensor) -> tuple[Tensor, torch.Generator]:
        """The images of a batch, and the generator of their augmentation."""
        index = order[step * self.batch_size : (step + 1) * self.batch_size]
        return index, generator(self.seed, epoch, step + 1)


def load_dataset(
    folder: Path,
    shape: tuple[int, ...],
    device: torch.device | str = "cpu",
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Dataset:
    """CIFAR-10, CIFAR-100, or folders train/ and val/ with a subfolder of images per class, by what lies in ``folder``.

    Args:
        folder: of the data.
        shape: (C, H, W) of the network's input, to which images of folders are cropped.
        device: for data that is held in memory.
        mean: of the normalisation; that of the data by default.
        std: likewise.

    Raises:
        UsageError: none of the three, or incomplete or damaged; or a wrong mean or std.
    """
    from fdabnn_models.data import cifar10, cifar100, image_folder

    mean, std = given_normalisation(mean, std, shape)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; --data names the folder of the training data")
    if image_folder.is_image_folder(folder):
        return image_folder.load_image_folder(folder, shape, mean=mean, std=std)
    data = (
        cifar100.load_cifar100(folder, device)
        if cifar100.is_cifar100(folder)
        else cifar10.load_cifar10(folder, device)
    )
    return data if mean is None or std is None else data.with_normalisation(mean, std)
