"""CIFAR-10 from its official Python batches.

The batches are pickles; the core's reader takes them without running what they say.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from fdabnn_deploy.data import cifar10
from fdabnn_deploy.errors import UsageError
from fdabnn_models.data.arrays import ArrayDataset

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# Per-channel statistics of the training images on the scale 0 .. 1.
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
IMAGE = (3, 32, 32)
TRAIN_FILES = tuple(f"data_batch_{i}" for i in range(1, 6))
TEST_FILE = "test_batch"
FOLDERS = ("", "cifar-10", "cifar-10-batches-py")


def read_batch(path: Path) -> tuple[Tensor, Tensor]:
    """Read one official batch file, plain or ``.xz``; see ``fdabnn_deploy.data.cifar10.read_batch``.

    Returns:
        images (N, 3, 32, 32) uint8 and labels (N,) int64.

    Raises:
        UsageError: the file is not a CIFAR-10 batch, is damaged, or asks to run code.
    """
    images, labels = cifar10.read_batch(path)
    return torch.from_numpy(images), torch.from_numpy(labels)


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


def load_cifar10(folder: Path, device: torch.device | str = "cpu") -> ArrayDataset:
    """Read all six batches of CIFAR-10 from ``folder`` (see ``find_batches``) onto ``device``."""
    paths = find_batches(folder)
    train = [read_batch(paths[name]) for name in TRAIN_FILES]
    test_images, test_labels = read_batch(paths[TEST_FILE])
    return ArrayDataset(
        name="cifar-10",
        classes=CLASSES,
        mean=MEAN,
        std=STD,
        train_images=torch.cat([images for images, _ in train]).to(device),
        train_labels=torch.cat([labels for _, labels in train]).to(device),
        test_images=test_images.to(device),
        test_labels=test_labels.to(device),
    )
