"""Sample inputs, by which an exported model is compared with its source."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.data import cifar10, images as image_files
from fdabnn_deploy.data.arrays_file import check_samples_file, read_arrays
from fdabnn_deploy.errors import UsageError
from fdabnn_deploy.data.labels import check_labels
from fdabnn_deploy.system.memory import check_memory
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Array, FloatArray
from fdabnn_deploy.system.read_file import exists
from fdabnn_deploy.runtimes import batches
from fdabnn_deploy.runtimes.base import Session

DEFAULT_COUNT = 512
DEFAULT_RANDOM = 200
DATA_VARIABLE = "FDABNN_DATA"
_IMAGE_KEYS = ("images", "x", "inputs", "input")
_LABEL_KEYS = ("labels", "y", "label", "targets")


@dataclass(frozen=True)
class Samples:
    """Inputs for a model.

    Attributes:
        images: float32 [N, C, H, W], normalised as the model takes them.
        labels: int64 [N], or None where nobody knows them.
        description: what they are, as the output says it.
        synthetic: whether they were made up.
        argument: what to type after `--samples` or `--inputs` to get the same again.
        notes: what the user should know about them, one sentence each.
        pixels: uint8 [N, C, H, W], the bytes that `images` were normalised from, or None where they were floats.
    """

    images: FloatArray
    labels: NDArray[np.int64] | None
    description: str
    synthetic: bool
    argument: str
    notes: tuple[str, ...] = ()
    pixels: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def head(self, count: int) -> Samples:
        """The first `count` of them."""
        return self.chosen(slice(count))

    def chosen(self, which: slice | NDArray[np.int64]) -> Samples:
        """Some of them."""
        return replace(
            self,
            images=self.images[which],
            labels=None if self.labels is None else self.labels[which],
            pixels=None if self.pixels is None else self.pixels[which],
        )

    def fed(self, info: ModelInfo) -> Array:
        """The array that a file with this input contract takes.

        Raises:
            UsageError: it takes pixels, and these are floats.
        """
        if info.input_format == "float32":
            return self.images
        if self.pixels is None:
            raise UsageError(
                f"{info.name} takes pixels, bytes 0 .. 255, and {self.description} are floats: give a folder of images, a uint8 array, or "
                "random:N"
            )
        return self.pixels[:, ::-1].copy() if info.channel_order == "bgr" else self.pixels


def load(spec: str | Path | None, info: ModelInfo, memory_limit: int | None = None) -> Samples:
    """Reads or makes samples.

    Args:
        spec: one of
            `set.npz`: the array `images`, `x` or `inputs`, or the only one; floats are taken as they are,
            bytes are pixels and get normalised; NCHW or NHWC; optional `labels`; `set.npy`: that array alone; a folder with
            CIFAR-10's test batch; a folder of PNG or JPEG files (see `image_files.read_folder`); `random:N`: seeded made-up
            images. A folder or file may be followed by `:N` or `:all`; folders give their first 512
            otherwise.
            None: CIFAR-10's test images where the model takes them and `FDABNN_DATA` (default `data`) has
                them, else `random:200`.
        info: of the model: its input shape, mean, std and classes.
        memory_limit: bytes that files may expand to, by default `fdabnn_deploy.system.memory.EXPANDED`.

    Raises:
        UsageError: the samples are missing, damaged or do not fit the model.
        RuntimeMissingError: images are to be read and Pillow is not installed.
    """
    if spec is None:
        return _default(info)
    text = str(spec)
    made_up = re.fullmatch(r"random:(\d{1,18})", text)
    if made_up:
        return _random(int(made_up[1]), info)
    path, limit = _split(text)
    if exists(path) and path.is_dir():
        batch = cifar10.find_test_batch(path)
        if batch is not None and not image_files.has_images(path):
            return _cifar10(batch, path, limit, info)
        count = {"default": DEFAULT_COUNT, "all": None}.get(str(limit), limit)
        found = image_files.read_folder(
            path, info.input_shape, None if count is None else int(count), info.classes, memory_limit
        )
        return Samples(
            normalise(found.pixels, info, str(path)),
            found.labels.values,
            f"{_images(len(found.pixels))} of {path}",
            False,
            text,
            found.labels.notes,
            found.pixels,
        )
    check_samples_file(path, text)
    arrays = read_arrays(path, memory_limit)
    return _npz(path, arrays, limit, info)


def run_in_batches(session: Session, images: Array) -> list[Array]:
    """A session's outputs for any number of images; a runtime holds the activations of a batch in memory."""
    step = batches.images_at_once(images.shape[1:])
    parts = [session.run([images[i : i + step]]) for i in range(0, len(images), step)]
    return [batches.join(column) for column in zip(*parts, strict=True)]


def from_array(array: Array, info: ModelInfo) -> Samples:
    """Takes inputs from memory, by the rules of an `.npz` file's array.

    Raises:
        UsageError: they do not fit the model.
    """
    images, pixels = _as_nchw(array, info, "the array of samples")
    return Samples(images, None, f"{len(images)} given inputs", False, "", pixels=pixels)


def normalise(pixels: NDArray[np.uint8], info: ModelInfo, what: str) -> FloatArray:
    """`(pixel / 255 - mean) / std` per channel, computed in float64 and rounded once.

    Raises:
        UsageError: the model does not say its mean and std.
    """
    if info.mean is None or info.std is None:
        raise UsageError(
            f"{what} holds pixels, and {info.name} does not say how to normalise them: give --mean and --std"
        )
    channels = pixels.shape[1]
    if len(info.mean) != channels:
        raise UsageError(f"{what} has {channels} channels, mean and std of {info.name} have {len(info.mean)}")
    levels = np.arange(256) / 255
    result = np.empty(pixels.shape, np.float32)
    for channel in range(channels):
        table = ((levels - info.mean[channel]) / info.std[channel]).astype(np.float32)
        result[:, channel] = table[pixels[:, channel]]
    return result


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"


def _split(text: str) -> tuple[Path, int | str]:
    """Splits `path:N` and `path:all`; a limit nobody gave is "default"."""
    if exists(Path(text)):
        return Path(text), "default"
    head, colon, tail = text.rpartition(":")
    if colon and tail == "all":
        return Path(head), "all"
    if colon and re.fullmatch(r"\d{1,18}", tail):
        if int(tail) == 0:
            raise UsageError(f"{text}: zero samples compare nothing")
        return Path(head), int(tail)
    return Path(text), "default"


def _default(info: ModelInfo) -> Samples:
    folder = Path(os.environ.get(DATA_VARIABLE, "data"))
    batch = cifar10.find_test_batch(folder) if info.input_shape == cifar10.SHAPE else None
    if batch is None:
        return _random(DEFAULT_RANDOM, info)
    if info.mean is not None and info.std is not None:
        return _cifar10(batch, folder, DEFAULT_COUNT, info)
    note = (
        f"the images of CIFAR-10 in {folder} were not used as samples, because {info.name} does not say how to normalise them: give "
        "--mean and --std"
    )
    return replace(_random(DEFAULT_RANDOM, info), notes=(note,))


def _cifar10(batch: Path, folder: Path, limit: int | str, info: ModelInfo) -> Samples:
    if info.input_shape != cifar10.SHAPE:
        raise UsageError(f"{folder} is CIFAR-10 (3x32x32), but {info.name} takes {_shape(info.input_shape)}")
    pixels, labels = cifar10.read_batch(batch)
    count = len(pixels) if limit == "all" else DEFAULT_COUNT if limit == "default" else int(limit)
    pixels, labels = pixels[:count], labels[:count]
    argument = f"{folder}:{'all' if limit == 'all' else count}"
    return Samples(
        normalise(pixels, info, str(folder)),
        labels,
        f"{len(pixels)} CIFAR-10 test images",
        False,
        argument,
        pixels=pixels,
    )


def _random(count: int, info: ModelInfo) -> Samples:
    if count == 0:
        raise UsageError("random:0: zero samples compare nothing")
    shape = info.input_shape
    argument = f"random:{count}"
    check_memory(12 * count * math.prod(shape), f"{argument} of {_shape(shape)}", "take fewer")
    if len(shape) != 3:
        low, high = info.input_range or (-3.0, 3.0)
        values = np.random.default_rng(0).standard_normal((count, *shape)).clip(low, high).astype(np.float32)
        return Samples(values, None, f"{count} seeded normal vectors", True, argument)
    pixels = image_files.synthetic(count, shape)
    if info.mean is not None and info.std is not None:
        images = normalise(pixels, info, argument)
    else:
        low, high = info.input_range or (-2.0, 2.0)
        images = (low + (high - low) * (np.arange(256) / 255)).astype(np.float32)[pixels]
    return Samples(images, None, f"{count} seeded synthetic images", True, argument, pixels=pixels)


def _npz(path: Path, arrays: dict[str, Array], limit: int | str, info: ModelInfo) -> Samples:
    labels = next((arrays.pop(key) for key in _LABEL_KEYS if key in arrays), None)
    key = next((key for key in _IMAGE_KEYS if key in arrays), None)
    if key is None:
        if len(arrays) != 1:
            raise UsageError(
                f"{path} holds the arrays {', '.join(sorted(arrays)) or 'none'}: name one of them 'images'"
            )
        key = next(iter(arrays))
    images, pixels = _as_nchw(arrays[key], info, f"{path}, array '{key}'")
    if labels is not None and (labels.shape != (len(images),) or labels.dtype.kind not in "iu"):
        raise UsageError(
            f"{path}: labels are {labels.dtype} {list(labels.shape)}, not {len(images)} integers"
        )
    if labels is not None:
        check_labels(np.minimum(labels, 1 << 40).astype(np.int64), len(info.classes) or 1 << 31, str(path))
    if not isinstance(limit, str):
        images, pixels = images[:limit], None if pixels is None else pixels[:limit]
        labels = None if labels is None else labels[:limit]
    argument = str(path) if isinstance(limit, str) else f"{path}:{limit}"
    return Samples(
        images,
        None if labels is None else labels.astype(np.int64),
        f"{len(images)} of {path.name}",
        False,
        argument,
        pixels=pixels,
    )


def _as_nchw(array: Array, info: ModelInfo, what: str) -> tuple[FloatArray, NDArray[np.uint8] | None]:
    """The normalised images, and the pixels where the array holds them."""
    shape = info.input_shape
    if array.ndim != len(shape) + 1 or len(array) == 0:
        raise UsageError(
            f"{what} is {list(array.shape)}; {info.name} takes [N, {', '.join(map(str, shape))}]"
        )
    if array.shape[1:] != shape:
        if len(shape) != 3 or array.shape[1:] != (*shape[1:], shape[0]):
            raise UsageError(
                f"{what} is {list(array.shape)}; {info.name} takes [N, {', '.join(map(str, shape))}]"
            )
        array = array.transpose(0, 3, 1, 2)
    if array.dtype == np.uint8:
        pixels = np.ascontiguousarray(array)
        return normalise(pixels, info, what), pixels
    if array.dtype.kind != "f":
        raise UsageError(f"{what} is {array.dtype}: give floats (normalised) or bytes (pixels)")
    with np.errstate(over="ignore"):
        images = np.ascontiguousarray(array, dtype=np.float32)
    if not np.isfinite(images).all():
        raise UsageError(f"{what} holds values that are not finite")
    return images, None


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
