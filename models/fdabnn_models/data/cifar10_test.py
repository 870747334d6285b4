from __future__ import annotations

import lzma
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from fdabnn_deploy.errors import UsageError
from fdabnn_models.data import cifar10


class Bomb:
    """Its pickle creates a file when an ordinary unpickler reads it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (str(self.target), os.O_CREAT | os.O_WRONLY)


def test_batch_is_read_as_written(tiny_cifar: Path) -> None:
    path = tiny_cifar / "data_batch_1"
    content = pickle.loads(path.read_bytes())
    images, labels = cifar10.read_batch(path)
    assert images.dtype == torch.uint8
    assert np.array_equal(images.numpy().reshape(-1, 3072), content[b"data"])
    assert labels.tolist() == content[b"labels"]


def test_official_test_batch(data_dir: Path) -> None:
    try:
        path = cifar10.find_batches(data_dir)[cifar10.TEST_FILE]
    except UsageError as error:
        pytest.skip(str(error))
    images, labels = cifar10.read_batch(path)
    assert images.shape == (10000, 3, 32, 32)
    assert torch.bincount(labels).tolist() == [1000] * 10
    # The first test image is a cat (class 3); its top left pixel is (158, 112, 49).
    assert labels[0] == 3
    assert images[0, :, 0, 0].tolist() == [158, 112, 49]


@pytest.mark.parametrize("layout", ["folder", "parent", "python", "xz"])
def test_folder_is_found_in_every_layout(tiny_cifar: Path, tmp_path: Path, layout: str) -> None:
    place = {"folder": "", "parent": "cifar-10", "python": "cifar-10-batches-py", "xz": "cifar-10"}[layout]
    (tmp_path / place).mkdir(exist_ok=True)
    for source in tiny_cifar.iterdir():
        if layout == "xz":
            (tmp_path / place / f"{source.name}.xz").write_bytes(lzma.compress(source.read_bytes()))
        else:
            shutil.copy(source, tmp_path / place)
    data = cifar10.load_cifar10(tmp_path)
    assert data.train_images.shape == (80, 3, 32, 32)
    assert data.test_labels.shape == (16,)


def test_missing_files_are_named(tiny_cifar: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere is not a folder; --data"):
        cifar10.load_cifar10(tmp_path / "nowhere")
    for name in ("data_batch_1", "data_batch_2", "data_batch_4", "test_batch"):
        shutil.copy(tiny_cifar / name, tmp_path)
    with pytest.raises(UsageError, match=r"missing data_batch_3, data_batch_5 "):
        cifar10.load_cifar10(tmp_path)


def test_code_in_a_batch_is_refused_and_not_run(tmp_path: Path) -> None:
    target, path = tmp_path / "created", tmp_path / "test_batch"
    path.write_bytes(pickle.dumps({b"data": Bomb(target)}, protocol=2))
    with pytest.raises(UsageError, match=r"posix\.open, which no CIFAR-10 batch needs"):
        cifar10.read_batch(path)
    assert not target.exists()
    os.close(pickle.loads(path.read_bytes())[b"data"])
    assert target.exists(), "the pickle would have run code"


@pytest.mark.parametrize(
    "call",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
        b"cnumpy.core.multiarray\nfromfile\n(S'x'\ntR.",
    ],
)
def test_unpickler_knows_only_what_arrays_need(tmp_path: Path, call: bytes) -> None:
    path = tmp_path / "test_batch"
    path.write_bytes(call)
    with pytest.raises(UsageError, match="not a readable CIFAR-10 batch"):
        cifar10.read_batch(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "a list, not a dict"),
        ({b"labels": [1]}, "'data'"),
        ({b"data": np.zeros((1, 3072), np.float32), b"labels": [1]}, "'data'"),
        ({b"data": np.zeros((1, 3071), np.uint8), b"labels": [1]}, "'data'"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}, "'labels'"),
        ({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}, "'labels'"),
    ],
)
def test_wrong_content_is_named(tmp_path: Path, content: object, reason: str) -> None:
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(UsageError, match=reason):
        cifar10.read_batch(path)


def test_damaged_files_are_refused(tiny_cifar: Path, tmp_path: Path) -> None:
    whole = (tiny_cifar / "test_batch").read_bytes()
    for name, raw in (
        ("cut", whole[:5000]), ("empty", b""), ("text", b"hello"), ("packed.xz", lzma.compress(whole)[:900]),
        ("other.xz", whole),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(UsageError, match=f"{name} is not a readable CIFAR-10 batch"):
            cifar10.read_batch(tmp_path / name)
