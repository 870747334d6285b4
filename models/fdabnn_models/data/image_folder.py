"""Images in folders, ``train/CLASS/*`` and ``val/CLASS/*``, read as they are needed: memory holds one batch.

Training images are random crops, scaled to the network's size and flipped; validation images are scaled until they cover it and cropped
to their centre.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.data.images import SUFFIXES, to_mode
from fdabnn_models.data.dataset import SeededOrder, normalise

if TYPE_CHECKING:
    from PIL import Image

PARTS = ("train", "val")
# A crop covers this share of the image, at this proportion of the sides.
AREA = (0.25, 1.0)
PROPORTION = (3 / 4, 4 / 3)
# Mean and deviation are computed over so many training images, evenly spaced.
STATISTICS = 1000
_THREADS = 4


@dataclass(frozen=True)
class Crop:
    """A part of an image, in shares of its sides: left, upper, right, lower; and whether it is mirrored."""

    box: tuple[float, float, float, float]
    flip: bool = False


def is_image_folder(folder: Path) -> bool:
    """Whether ``folder`` has the subfolders train and val."""
    return all((folder / part).is_dir() for part in PARTS)


@dataclass(frozen=True)
class ImageFolderDataset:
    """See ``dataset.Dataset``; ``train`` and ``test`` are (path, label), sorted by path."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...]

    @property
    def train_count(self) -> int:
        return len(self.train)

    @property
    def test_count(self) -> int:
        return len(self.test)

    def digest(self) -> str:
        """Over names, sizes and labels of the files, and the normalisation; not over their content, which may be large."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(repr((self.classes, self.mean, self.std)).encode())
        for part in (self.train, self.test):
            for path, label in part:
                digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size} {label};".encode())
        return digest.hexdigest()

    def batches(self, batch_size: int, seed: int) -> FolderBatches:
        return FolderBatches(self, batch_size, seed)

    def test_batch(self, begin: int, end: int) -> tuple[Tensor, Tensor]:
        part = self.test[begin:end]
        return self.images(part, [None] * len(part)), torch.tensor([label for _, label in part])

    def plain_images(self, begin: int, end: int) -> Tensor:
        part = self.train[begin:end]
        return self.images(part, [None] * len(part))

    def images(self, part: Sequence[tuple[Path, int]], crops: Sequence[Crop | None]) -> Tensor:
        """Normalised images, each cropped, or to its centre where the crop is None."""
        with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
            arrays = list(
                pool.map(
                    lambda each: read_image(each[0][0], self.shape, each[1]), zip(part, crops, strict=True)
                )
            )
        return normalise(torch.from_numpy(np.stack(arrays)), self.mean, self.std)


class FolderBatches(SeededOrder):
    """Random crops and flips; see ``dataset.Batches``."""

    def __init__(self, data: ImageFolderDataset, batch_size: int, seed: int) -> None:
        super().__init__(data.train_count, batch_size, seed)
        self.data = data

    def batch(
        self, epoch: int, step: int, order: Tensor, rank: int = 0, world: int = 1, *, crop: bool = True
    ) -> tuple[Tensor, Tensor]:
        index, random = self.drawn(epoch, step, order)
        numbers = torch.rand((len(index), 5), generator=random).tolist()
        crops = [random_crop(each) if crop else None for each in numbers][rank::world]
        part = [self.data.train[i] for i in index.tolist()][rank::world]
        return self.data.images(part, crops), torch.tensor([label for _, label in part])


def random_crop(numbers: Sequence[float]) -> Crop:
    """A crop from five numbers of 0 .. 1: area, proportion, left, upper, flip. Proportions are even on a logarithmic scale."""
    area = AREA[0] + (AREA[1] - AREA[0]) * numbers[0]
    proportion = PROPORTION[0] * (PROPORTION[1] / PROPORTION[0]) ** numbers[1]
    width, height = min(1.0, (area * proportion) ** 0.5), min(1.0, (area / proportion) ** 0.5)
    left, upper = (1 - width) * numbers[2], (1 - height) * numbers[3]
    return Crop((left, upper, left + width, upper + height), numbers[4] < 0.5)


def read_image(path: Path, shape: tuple[int, int, int], crop: Crop | None) -> NDArray[np.uint8]:
    """One image as bytes (H, W, C).

    Raises:
        UsageError: it cannot be read.
        RuntimeMissingError: Pillow is not installed.
    """
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            f"reading {path} needs Pillow: install it with  pip install pillow"
        ) from None
    channels, height, width = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images; the files are the user's own
            with Image.open(path) as opened:
                image: Image.Image = to_mode(opened, "RGB" if channels == 3 else "L")
    except Exception as error:  # noqa: BLE001  (a damaged image can raise anything)
        raise UsageError(f"{path} is not a readable image: {error}; remove or replace it") from None
    if crop is None:
        image = ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)
    else:
        left, upper, right, lower = crop.box
        box = (left * image.width, upper * image.height, right * image.width, lower * image.height)
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
        image = ImageOps.mirror(image) if crop.flip else image
    return np.asarray(image, dtype=np.uint8).reshape(height, width, channels)


def load_image_folder(
    folder: Path,
    shape: tuple[int, ...],
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ImageFolderDataset:
    """List the images of ``folder``; none but those for the statistics is opened.

    Raises:
        UsageError: a part is empty, its classes differ, or the network takes no images.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UsageError(f"the network takes inputs of {tuple(shape)}, not images of one or three channels")
    channels, height, width = shape
    parts = {part: _list(folder / part) for part in PARTS}
    classes = tuple(sorted(parts["train"]))
    for part, found in parts.items():
        if not any(found.values()):
            raise UsageError(
                f"{folder / part} holds no {', '.join(SUFFIXES)} files in subfolders, one per class"
            )
    if extra := sorted(set(parts["val"]) - set(classes)):
        raise UsageError(
            f"{folder / 'val'} has classes that {folder / 'train'} has not: {', '.join(extra[:8])}"
        )
    labelled = {
        part: tuple((path, classes.index(name)) for name, paths in sorted(found.items()) for path in paths)
        for part, found in parts.items()
    }
    data = ImageFolderDataset(
        name=folder.resolve().name,
        classes=classes,
        shape=(channels, height, width),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        train=labelled["train"],
        test=labelled["val"],
    )
    if mean is None or std is None:
        mean, std = statistics(data)
    return ImageFolderDataset(**{**data.__dict__, "mean": tuple(mean), "std": tuple(std)})


def statistics(data: ImageFolderDataset) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel, on the scale 0 .. 1, over at most ``STATISTICS`` training images, evenly spaced."""
    count = min(STATISTICS, data.train_count)
    chosen = [data.train[i * data.train_count // count] for i in range(count)]
    total, square = np.zeros(data.shape[0]), np.zeros(data.shape[0])
    for path, _ in chosen:
        values = read_image(path, data.shape, None).astype(np.float64) / 255
        total += values.mean((0, 1))
        square += (values**2).mean((0, 1))
    mean = total / count
    std = np.sqrt(np.maximum(square / count - mean**2, 1e-6))
    return tuple(round(float(v), 4) for v in mean), tuple(round(float(v), 4) for v in std)


def _list(folder: Path) -> dict[str, list[Path]]:
    return {
        each.name: sorted(path for path in each.iterdir() if path.suffix.lower() in SUFFIXES)
        for each in sorted(folder.iterdir())
        if each.is_dir()
    }
