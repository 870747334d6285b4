from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fdabnn_deploy.errors import UsageError
from fdabnn_models.data.dataset import load_dataset
from fdabnn_models.data.image_folder import AREA, Crop, load_image_folder, random_crop, read_image

SHAPE = (3, 16, 16)


def write(folder: Path, train: int = 6, size: tuple[int, int] = (24, 20)) -> Path:
    """Classes of one colour each."""
    colours = {"cat": (200, 30, 30), "dog": (30, 200, 30)}
    for part, count in (("train", train), ("val", 2)):
        for name, colour in colours.items():
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", size, tuple(value + i for value in colour)).save(
                    folder / part / name / f"{i}.png"
                )
    return folder


def test_classes_counts_and_statistics(tmp_path: Path) -> None:
    data = load_dataset(write(tmp_path), SHAPE)
    assert (data.classes, data.train_count, data.test_count, data.shape) == (("cat", "dog"), 12, 4, SHAPE)
    assert data.mean == pytest.approx((117.5 / 255, 117.5 / 255, 32.5 / 255), abs=1e-4)
    images, labels = data.test_batch(0, 4)
    assert images.shape == (4, *SHAPE)
    assert labels.tolist() == [0, 0, 1, 1]
    expected = (200 / 255 - data.mean[0]) / data.std[0]
    assert images[0, 0, 3, 3].item() == pytest.approx(expected, abs=1e-4)


def test_normalisation_can_be_given(tmp_path: Path) -> None:
    data = load_dataset(write(tmp_path), SHAPE, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert (data.mean, data.std) == ((0.5,) * 3, (0.25,) * 3)
    with pytest.raises(UsageError, match="--mean and --std go together"):
        load_dataset(tmp_path, SHAPE, mean=(0.5, 0.5, 0.5))


def test_batches_depend_on_seed_epoch_and_step_alone(tmp_path: Path) -> None:
    folder = write(tmp_path)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (40, 30, 3)).astype(np.uint8)).save(
        folder / "train" / "cat" / "0.png"
    )
    data = load_image_folder(folder, SHAPE)

    def images(seed: int, epoch: int, step: int) -> torch.Tensor:
        batches = data.batches(12, seed)
        return batches.batch(epoch, step, batches.order(0))[0]

    assert torch.equal(images(1, 2, 0), images(1, 2, 0))
    assert not torch.equal(images(1, 2, 0), images(1, 3, 0))
    batches = data.batches(12, 1)
    whole, labels = batches.batch(0, 0, batches.order(0))
    assert sorted(labels.tolist()) == [0] * 6 + [1] * 6
    for rank in range(2):
        part, part_labels = batches.batch(0, 0, batches.order(0), rank, 2)
        assert torch.equal(part, whole[rank::2])
        assert torch.equal(part_labels, labels[rank::2])


def test_crops_lie_in_the_image_and_have_their_area() -> None:
    for numbers in torch.rand(200, 5, generator=torch.Generator().manual_seed(0)).tolist():
        left, upper, right, lower = random_crop(numbers).box
        assert 0 <= left < right <= 1 + 1e-9
        assert 0 <= upper < lower <= 1 + 1e-9
        assert (right - left) * (lower - upper) > 0.7 * AREA[0]


def test_crop_and_flip_are_those_of_the_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png", SHAPE, None), pixels)
    assert np.array_equal(
        read_image(tmp_path / "a.png", SHAPE, Crop((0, 0, 1, 1), flip=True)), pixels[:, ::-1]
    )
    quarter = read_image(tmp_path / "a.png", (3, 8, 8), Crop((0.5, 0, 1, 0.5)))
    assert np.array_equal(quarter, pixels[:8, 8:])


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "val" / "bird").mkdir()
    with pytest.raises(UsageError, match=r"val has classes that .*train has not: bird"):
        load_image_folder(folder, SHAPE)
    (folder / "val" / "bird").rmdir()
    (folder / "train" / "dog" / "0.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"dog/0\.png is not a readable image"):
        load_image_folder(folder, SHAPE)
    with pytest.raises(UsageError, match="not images of one or three channels"):
        load_image_folder(folder, (5, 16, 16))


def test_empty_part_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for path in (folder / "val").glob("*/*"):
        path.unlink()
    with pytest.raises(UsageError, match=r"val holds no \.png"):
        load_image_folder(folder, SHAPE)


def test_digest_knows_names_and_labels(tmp_path: Path) -> None:
    folder = write(tmp_path)
    given = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    first = load_image_folder(folder, SHAPE, **given).digest()
    assert load_image_folder(folder, SHAPE, **given).digest() == first
    (folder / "train" / "dog" / "0.png").rename(folder / "train" / "cat" / "9.png")
    assert load_image_folder(folder, SHAPE, **given).digest() != first


def test_memory_stays_flat(tmp_path: Path) -> None:
    """80 images of 3 MB each, 240 MB as bytes, are never in memory at once."""
    data = load_image_folder(
        write(tmp_path, train=40, size=(1000, 1000)), SHAPE, mean=(0.5,) * 3, std=(0.5,) * 3
    )
    batches = data.batches(4, 0)
    order = batches.order(0)
    batches.batch(0, 0, order)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for step in range(batches.steps):
        batches.batch(0, step, order)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000
