from __future__ import annotations

import lzma
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.errors import UsageError
from fdabnn_models.data.cifar100 import CLASSES, is_cifar100, load_cifar100
from fdabnn_models.data.dataset import load_dataset


def write(folder: Path, **changes: Any) -> Path:
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", 12), ("test", 5)):
        fine = rng.integers(0, CLASSES, count).tolist()
        content = {
            b"data": rng.integers(0, 256, (count, 3072)).astype(np.uint8),
            b"fine_labels": fine,
            b"coarse_labels": [label // 5 for label in fine],
            b"filenames": [b"a.png"] * count,
            b"batch_label": b"batch",
        }
        (folder / name).write_bytes(pickle.dumps(changes.get(name, content), protocol=2))
    meta = {b"fine_label_names": [f"class {i}".encode() for i in range(CLASSES)], b"coarse_label_names": []}
    (folder / "meta").write_bytes(pickle.dumps(changes.get("meta", meta), protocol=2))
    return folder


def test_files_are_read_as_written(tmp_path: Path) -> None:
    folder = write(tmp_path / "cifar-100-python")
    content = pickle.loads((folder / "train").read_bytes())
    data = load_dataset(tmp_path, (3, 32, 32))
    assert (data.name, data.train_count, data.test_count, data.shape) == ("cifar-100", 12, 5, (3, 32, 32))
    assert data.classes[99] == "class 99"
    arrays = load_cifar100(tmp_path)
    assert np.array_equal(arrays.train_images.numpy().reshape(12, -1), content[b"data"])
    assert arrays.train_labels.tolist() == content[b"fine_labels"]


def test_compressed_files_are_read_too(tmp_path: Path) -> None:
    folder = write(tmp_path)
    expected = load_cifar100(folder).digest()
    for name in ("train", "test", "meta"):
        (folder / f"{name}.xz").write_bytes(lzma.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    assert is_cifar100(folder)
    assert load_cifar100(folder).digest() == expected


def test_missing_files_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "meta").unlink()
    with pytest.raises(UsageError, match=r"CIFAR-100 is not complete in .*: missing meta "):
        load_cifar100(tmp_path)


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (str(self.target), os.O_CREAT | os.O_WRONLY)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"meta": {b"fine_label_names": [b"a"]}}, "has no 100 'fine_label_names'"),
        ({"meta": [1]}, "holds a list, not a dict"),
        (
            {"train": {b"data": np.zeros((1, 3072), np.uint8), b"fine_labels": [100]}},
            "'fine_labels' are not 1 integers 0 to 99",
        ),
        ({"test": {b"data": np.zeros((1, 12), np.uint8), b"fine_labels": [1]}}, "'data' is not an N x 3072"),
    ],
)
def test_wrong_content_is_named(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    write(tmp_path, **changes)
    with pytest.raises(UsageError, match=reason):
        load_cifar100(tmp_path)


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    target = tmp_path / "created"
    write(tmp_path, train={b"data": Bomb(target)})
    with pytest.raises(UsageError, match="not a readable CIFAR-100 file"):
        load_cifar100(tmp_path)
    assert not target.exists()
