"""Pictures as bytes: read from a folder of image files, or made up from a seed."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.errors import RuntimeMissingError, UsageError

Pixels = NDArray[np.uint8]
SUFFIXES = (".png", ".jpg", ".jpeg")
LABELS_FILE = "labels.csv"
_MODES = {1: "L", 3: "RGB"}


def read_folder(
    folder: Path, shape: tuple[int, ...], limit: int | None = None
) -> tuple[Pixels, NDArray[np.int64] | None]:
    """Reads the PNG and JPEG files of a folder, sorted by name.

    A picture of another size is scaled (bilinear, antialiased) until it covers H x W and then cropped to its
    centre, so that nothing is distorted. Labels come from `labels.csv` in the folder or beside it, where
    every picture is listed: its first two columns are the file name and the class index.

    Args:
        folder: of the files; subfolders are not read.
        shape: (C, H, W) of the model's input, C 1 (grey) or 3 (RGB).
        limit: at most so many pictures.

    Returns:
        Pictures uint8 [N, C, H, W] and labels int64 [N] or None.

    Raises:
        UsageError: no picture is there, one is damaged, or the model does not take pictures.
        RuntimeMissingError: Pillow is not installed.
    """
    if len(shape) != 3 or shape[0] not in _MODES:
        raise UsageError(
            f"{folder}: the model takes inputs of shape {shape}, not pictures; give an .npz file instead"
        )
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            f"reading the pictures of {folder} needs Pillow: install it with  pip install pillow"
        ) from None
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)[:limit]
    if not files:
        raise UsageError(f"{folder} holds no {', '.join(SUFFIXES)} files")
    channels, height, width = shape
    pixels = np.empty((len(files), height, width, channels), np.uint8)
    for i, path in enumerate(files):
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert(_MODES[channels])
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UsageError(f"{path} is not a readable picture ({error})") from None
        if upright.size != (width, height):
            upright = ImageOps.fit(upright, (width, height), Image.Resampling.BILINEAR)
        pixels[i] = np.asarray(upright).reshape(height, width, channels)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), _read_labels(folder, files)


def _read_labels(folder: Path, files: list[Path]) -> NDArray[np.int64] | None:
    for path in (folder / LABELS_FILE, folder.parent / LABELS_FILE):
        if not path.is_file():
            continue
        with path.open(newline="", encoding="utf-8") as file:
            classes = {row[0]: row[1] for row in csv.reader(file) if len(row) >= 2}
        try:
            return np.array([int(classes[file.name]) for file in files], np.int64)
        except (KeyError, ValueError):
            # A file of another folder, or one that does not list every picture: labels are optional, so do
            # without.
            continue
    return None


def synthetic(count: int, shape: tuple[int, ...], seed: int = 0) -> Pixels:
    """Makes up pictures: a coloured ground with soft waves, ellipses with hard edges, sensor noise.

    Each is made from (seed, index) alone, so the first N of any larger number are the same. White noise would
    not do: its activations behind a few convolutions are nothing like those of photographs.

    Args:
        count: of the pictures.
        shape: (C, H, W).
        seed: any non-negative number.

    Returns:
        uint8 [count, C, H, W].
    """
    channels, height, width = shape
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    pictures = np.empty((count, *shape), np.uint8)
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        picture = np.tile(rng.uniform(40, 215, (channels, 1, 1)), (1, height, width))
        for _ in range(3):
            frequency = rng.uniform(-4, 4, 2)
            wave = np.cos(2 * np.pi * (frequency[0] * y + frequency[1] * x + rng.random()))
            picture += rng.uniform(-35, 35, (channels, 1, 1)) * wave
        for _ in range(rng.integers(2, 6)):
            centre, radius = rng.random(2), rng.uniform(0.08, 0.4, 2)
            inside = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1
            shade = rng.uniform(0, 255, (channels, 1)) + rng.uniform(-40, 40) * (y + x)[inside]
            picture[:, inside] = shade
        picture += rng.normal(0, 5, shape)
        pictures[index] = np.clip(np.rint(picture), 0, 255)
    return pictures
