from __future__ import annotations

import lzma
import pickle
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.data import samples
from fdabnn_deploy.data.cifar10 import find_test_batch, read_batch
from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Array

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.1)
INFO = ModelInfo("net", (3, 32, 32), mean=MEAN, std=STD, input_range=(-3.0, 7.0))
BARE = ModelInfo("net", (3, 32, 32))


def write_batch(folder: Path, count: int = 20, *, compressed: bool = True) -> tuple[Array, list[int]]:
    rng = np.random.default_rng(1)
    data = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
    labels = [int(label) for label in rng.integers(0, 10, count)]
    raw = pickle.dumps({"data": data, "labels": labels}, protocol=2)
    folder.mkdir(parents=True, exist_ok=True)
    if compressed:
        (folder / "test_batch.xz").write_bytes(lzma.compress(raw, preset=0))
    else:
        (folder / "test_batch").write_bytes(raw)
    return data.reshape(-1, 3, 32, 32), labels


@pytest.mark.parametrize("compressed", [True, False])
def test_cifar10_folder(tmp_path: Path, compressed: bool) -> None:
    data, labels = write_batch(tmp_path / "cifar-10", compressed=compressed)
    found = samples.load(f"{tmp_path / 'cifar-10'}:7", INFO)
    scaled = data[:7].astype(np.float64) / 255
    expected = (scaled - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    np.testing.assert_array_equal(found.images, expected.astype(np.float32))
    assert found.labels is not None
    assert found.labels.tolist() == labels[:7]
    assert not found.synthetic
    assert "7 CIFAR-10" in found.description
    assert len(samples.load(f"{tmp_path}:all", INFO)) == 20


def test_cifar10_by_default_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FDABNN_DATA", str(tmp_path))
    assert samples.load(None, INFO).synthetic
    write_batch(tmp_path / "cifar-10-batches-py")
    assert samples.load(None, INFO).description == "20 CIFAR-10 test images"
    assert samples.load(None, BARE).synthetic
    assert samples.load(None, ModelInfo("net", (3, 64, 64), mean=MEAN, std=STD)).synthetic


def test_argument_gives_the_same_samples_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FDABNN_DATA", str(tmp_path))
    for _ in range(2):
        first = samples.load(None, INFO)
        np.testing.assert_array_equal(samples.load(first.argument, INFO).images, first.images)
        write_batch(tmp_path / "cifar-10")


def test_a_batch_that_asks_for_code_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (marker,)  # type: ignore[return-value]

    (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": Payload(), "labels": []}))
    with pytest.raises(UsageError, match="not a readable CIFAR-10 batch"):
        samples.load(tmp_path, INFO)
    assert not marker.exists()


@pytest.mark.parametrize("damage", ["cut", "text", "no labels", "bad label"])
def test_damaged_batches_are_refused(tmp_path: Path, damage: str) -> None:
    write_batch(tmp_path, 3, compressed=False)
    path = tmp_path / "test_batch"
    raw = path.read_bytes()
    content = {"data": np.zeros((2, 3072), np.uint8), "labels": [1, 10]}
    path.write_bytes({
        "cut": raw[: len(raw) // 2],
        "text": b"hello",
        "no labels": pickle.dumps({"data": content["data"]}),
        "bad label": pickle.dumps(content),
    }[damage])  # fmt: skip
    with pytest.raises(UsageError, match="CIFAR-10 batch"):
        samples.load(tmp_path, INFO)


def test_a_batch_that_expands_too_far_is_not_unpacked(tmp_path: Path) -> None:
    (tmp_path / "test_batch.xz").write_bytes(lzma.compress(bytes((256 << 20) + 1), preset=0))
    with pytest.raises(UsageError, match="expands to more than 256 MiB"):
        samples.load(tmp_path, INFO)


def test_official_test_batch(data_dir: Path) -> None:
    batch = find_test_batch(data_dir)
    if batch is None:
        pytest.skip(f"no CIFAR-10 in {data_dir}")
    images, labels = read_batch(batch)
    assert images.shape == (10000, 3, 32, 32)
    assert np.bincount(labels).tolist() == [1000] * 10


def test_cifar10_does_not_fit_other_inputs(tmp_path: Path) -> None:
    write_batch(tmp_path)
    with pytest.raises(UsageError, match="takes 3x224x224"):
        samples.load(tmp_path, ModelInfo("net", (3, 224, 224), mean=MEAN, std=STD))


def test_random_is_seeded_and_a_prefix_of_more() -> None:
    few, many = samples.load("random:3", INFO), samples.load("random:8", INFO)
    np.testing.assert_array_equal(few.images, many.images[:3])
    assert few.synthetic
    assert few.labels is None
    assert few.images.dtype == np.float32
    assert not np.array_equal(many.images[0], many.images[1])


def test_random_images_are_smooth_and_use_their_range() -> None:
    for info in (INFO, BARE, ModelInfo("net", (3, 32, 32), input_range=(-1.0, 1.0))):
        images = samples.load("random:16", info).images
        assert np.isfinite(images).all()
        steps = np.abs(np.diff(images, axis=3)).mean()
        assert steps < 0.35 * images.std()
    low, high = images.min(), images.max()
    assert -1 <= low < -0.9
    assert 0.9 < high <= 1


def test_random_vectors_for_inputs_that_are_no_images() -> None:
    found = samples.load("random:5", ModelInfo("net", (7,), input_range=(-1.0, 1.0)))
    assert found.images.shape == (5, 7)
    assert np.abs(found.images).max() <= 1


def test_npz_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 32, 32))
    np.savez(tmp_path / "a.npz", x=x, labels=np.arange(4), other=np.zeros(2))
    found = samples.load(tmp_path / "a.npz", BARE)
    np.testing.assert_array_equal(found.images, x.astype(np.float32))
    assert found.labels is not None
    assert found.labels.tolist() == [0, 1, 2, 3]
    assert len(samples.load(f"{tmp_path / 'a.npz'}:2", BARE)) == 2


def test_npz_bytes_are_pixels_and_channels_may_be_last(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", pixels)
    found = samples.load(tmp_path / "a.npz", INFO)
    np.testing.assert_array_equal(found.images, samples.normalise(pixels.transpose(0, 3, 1, 2), INFO, "x"))
    with pytest.raises(UsageError, match="--mean and --std"):
        samples.load(tmp_path / "a.npz", BARE)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(1), "b": np.zeros(1)}, "name one of them 'images'"),
        ({"x": np.zeros((1, 3, 8, 8))}, r"takes \[N, 3, 32, 32\]"),
        ({"x": np.zeros((0, 3, 32, 32))}, r"takes \[N, 3, 32, 32\]"),
        ({"x": np.full((1, 3, 32, 32), np.nan)}, "not finite"),
        ({"x": np.zeros((1, 3, 32, 32), np.int64)}, "int64"),
        ({"x": np.zeros((1, 3, 32, 32)), "y": np.zeros(2, np.int64)}, "not 1 integers"),
    ],
)
def test_npz_that_does_not_fit(tmp_path: Path, arrays: dict[str, Array], message: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(UsageError, match=message):
        samples.load(tmp_path / "a.npz", INFO)


def test_npy_is_the_array_alone(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(samples.load(tmp_path / "x.npy", BARE).images, x)
    np.testing.assert_array_equal(samples.load(f"{tmp_path / 'x.npy'}:3", BARE).images, x[:3])


def test_labels_outside_of_the_classes_are_refused(tmp_path: Path) -> None:
    info = ModelInfo("net", (3, 32, 32), classes=("cat", "dog"))
    for labels in ([0, 2], [-1, 0], np.array([0, 1 << 63], np.uint64)):
        np.savez(tmp_path / "a.npz", x=np.zeros((2, 3, 32, 32)), y=labels)
        with pytest.raises(UsageError, match=r"1 of 2 labels are outside of the model's 2 classes"):
            samples.load(tmp_path / "a.npz", info)
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3, 32, 32)), y=[-1, 0])
    with pytest.raises(UsageError, match="the first -1 at position 0"):
        samples.load(tmp_path / "a.npz", BARE)


def test_made_up_samples_beyond_memory_are_refused() -> None:
    with pytest.raises(UsageError, match=r"random:\d+ of 3x32x32 needs .* are available.*: take fewer"):
        samples.load("random:1000000000000", INFO)


def test_values_beyond_float32_are_not_finite(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.full((1, 3, 32, 32), 1e300))
    with pytest.raises(UsageError, match="not finite"):
        samples.load(tmp_path / "a.npz", INFO)


def test_a_nul_in_the_name() -> None:
    with pytest.raises(UsageError, match="NUL character"):
        samples.load("a\0b", INFO)


def test_npz_with_objects_is_not_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.array([print], dtype=object))
    with pytest.raises(UsageError, match="plain arrays"):
        samples.load(tmp_path / "a.npz", INFO)


def test_missing_samples_name_what_is_possible(tmp_path: Path) -> None:
    for spec in ("nothing", str(tmp_path / "a.npz"), "random:x"):
        with pytest.raises(UsageError, match="random:N"):
            samples.load(spec, INFO)
    with pytest.raises(UsageError, match="zero samples"):
        samples.load("random:0", INFO)
    (tmp_path / "b.npz").write_text("no")
    with pytest.raises(UsageError, match=r"b\.npz"):
        samples.load(tmp_path / "b.npz", INFO)


def test_folder_of_images(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    exact = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    image.fromarray(exact).save(tmp_path / "a.png")
    image.fromarray(np.full((64, 100), 51, np.uint8)).save(tmp_path / "b.jpg")
    found = samples.load(tmp_path, INFO)
    assert found.images.shape == (2, 3, 32, 32)
    np.testing.assert_array_equal(
        found.images[0], samples.normalise(exact.transpose(2, 0, 1)[None], INFO, "x")[0]
    )
    np.testing.assert_allclose(found.images[1, 0], (51 / 255 - 0.5) / 0.25, atol=0.05)
    assert found.labels is None
    (tmp_path / "labels.csv").write_text("file,class_index\na.png,3\nb.jpg,1\n")
    labels = samples.load(tmp_path, INFO).labels
    assert labels is not None
    assert labels.tolist() == [3, 1]
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "c.png").write_bytes(b"\x89PNG no")
    with pytest.raises(UsageError, match=r"c\.png is not a readable image"):
        samples.load(tmp_path, INFO)


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no"):
        samples.load(tmp_path, INFO)
