"""Fixtures of the tests: a tiny data set in the form of the official CIFAR-10 batches."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from fdabnn_models.data.cifar10 import CLASSES, IMAGE, TEST_FILE, TRAIN_FILES


def write_batches(folder: Path, images_per_batch: int = 16) -> Path:
    """Write six small batches; every class has its own colour, so that a network can learn it."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*TRAIN_FILES, TEST_FILE):
        labels = rng.integers(0, len(CLASSES), images_per_batch)
        colours = np.random.default_rng(6).integers(0, 256, (len(CLASSES), IMAGE[0], 1))
        noise = rng.integers(-20, 21, (images_per_batch, IMAGE[0], IMAGE[1] * IMAGE[2]))
        data = np.clip(colours[labels] + noise, 0, 255).astype(np.uint8).reshape(images_per_batch, -1)
        content = {b"batch_label": b"tiny", b"labels": labels.tolist(), b"data": data}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


@pytest.fixture(scope="session")
def tiny_cifar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with 80 training and 16 test images."""
    return write_batches(tmp_path_factory.mktemp("data") / "cifar-10")
