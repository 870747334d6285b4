"""CIFAR-100 (fine labels) from its official Python files ``train``, ``test`` and ``meta``, plain or ``.xz``.

They are pickles; the core's reader takes them without running what they say.
"""

from __future__ import annotations

from pathlib import Path

import torch

from fdabnn_deploy.data import cifar10
from fdabnn_deploy.errors import UsageError
from fdabnn_models.data.arrays import ArrayDataset

CLASSES = 100
# Per-channel statistics of the training images on the scale 0 .. 1.
MEAN = (0.5071, 0.4865, 0.4409)
STD = (0.2673, 0.2564, 0.2762)
FILES = ("train", "test", "meta")
FOLDERS = ("", "cifar-100", "cifar-100-python")


def _find(folder: Path) -> dict[str, Path]:
    best: dict[str, Path] = {}
    for sub in FOLDERS:
        names = {name: (folder / sub / name, folder / sub / f"{name}.xz") for name in FILES}
        found = {
            name: next(path for path in paths if path.is_file())
            for name, paths in names.items()
            if any(path.is_file() for path in paths)
        }
        best = max(best, found, key=len)
    return best


def is_cifar100(folder: Path) -> bool:
    """Whether files of CIFAR-100 lie in ``folder``, its ``cifar-100`` or its ``cifar-100-python``."""
    return bool(_find(folder))


def load_cifar100(folder: Path, device: torch.device | str = "cpu") -> ArrayDataset:
    """Read CIFAR-100 onto ``device``.

    Raises:
        UsageError: a file is missing, damaged, or asks to run code.
    """
    paths = _find(folder)
    if missing := [name for name in FILES if name not in paths]:
        raise UsageError(
            f"CIFAR-100 is not complete in {folder}: missing {', '.join(missing)} (plain or .xz); unpack "
            "cifar-100-python.tar.gz there, or name another folder with --data"
        )
    names = cifar10.read_content(paths["meta"], "CIFAR-100 meta file").get("fine_label_names")
    if not isinstance(names, list) or len(names) != CLASSES:
        raise UsageError(
            f"{paths['meta']} is not a CIFAR-100 meta file: it has no {CLASSES} 'fine_label_names'"
        )
    classes = tuple(name.decode("latin1") if isinstance(name, bytes) else str(name) for name in names)
    parts = {
        part: cifar10.read_batch(paths[part], "CIFAR-100 file", "fine_labels", CLASSES)
        for part in ("train", "test")
    }
    (train_images, train_labels), (test_images, test_labels) = parts["train"], parts["test"]
    return ArrayDataset(
        name="cifar-100",
        classes=classes,
        mean=MEAN,
        std=STD,
        train_images=torch.from_numpy(train_images).to(device),
        train_labels=torch.from_numpy(train_labels).to(device),
        test_images=torch.from_numpy(test_images).to(device),
        test_labels=torch.from_numpy(test_labels).to(device),
    )
