"""Images as bytes: read from a folder of image files, or made up from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.errors import RuntimeMissingError, UsageError
from fdabnn_deploy.data.labels import Labels, labels_of_subfolders, read_labels
from fdabnn_deploy.system.memory import check_expanded
from fdabnn_deploy.system.read_file import check_file

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
SUFFIXES = (".png", ".jpg", ".jpeg")
_MODES = {1: "L", 3: "RGB"}
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_LARGEST = 65535


@dataclass(frozen=True)
class ImageFolder:
    """The images of a folder.

    Attributes:
        pixels: uint8 [N, C, H, W].
        labels: of them.
    """

    pixels: Pixels
    labels: Labels


def has_images(folder: Path) -> bool:
    """Whether image files lie in a folder itself."""
    return bool(_images(folder))


def read_folder(
    folder: Path,
    shape: tuple[int, ...],
    limit: int | None = None,
    classes: tuple[str, ...] = (),
    memory_limit: int | None = None,
) -> ImageFolder:
    """Reads the PNG and JPEG files of a folder, sorted by name.

    An image of another size is scaled (bilinear, antialiased) until it covers H x W and then cropped to its centre, so that nothing is
    distorted. What becomes of depths, palettes and turned images: `to_mode`. Labels come from `labels.csv` (`read_labels`).

    Where there are subfolders instead of images, each is a class (`labels_of_subfolders`), and the images are taken from them in turn.

    Args:
        folder: of the files.
        shape: (C, H, W) of the model's input, C 1 (grey) or 3 (RGB).
        limit: at most so many images.
        classes: the names of the model's classes, or none.
        memory_limit: bytes that images may expand to, by default `fdabnn_deploy.system.memory.EXPANDED`.

    Raises:
        UsageError: no image is there, one is damaged or of a kind without a scale, the labels are wrong, or the model takes no images.
        RuntimeMissingError: Pillow is not installed.
    """
    if len(shape) != 3 or shape[0] not in _MODES:
        raise UsageError(
            f"{folder}: the model takes inputs of shape {shape}, not images of one (grey) or three (RGB) channels; give an .npz file"
        )
    files, subfolders = _images(folder), {}
    if not files:
        subfolders = _subfolders(folder)
        rounds = zip_longest(*subfolders.values())
        files = [file for one_of_each in rounds for file in one_of_each if file is not None]
    files = files[:limit]
    if not files:
        raise UsageError(f"{folder} holds no {', '.join(SUFFIXES)} files, and neither do its subfolders")
    channels, height, width = shape
    # As bytes and as the float32 of the model's inputs.
    check_expanded(
        5 * len(files) * channels * height * width, memory_limit, f"{folder} with {len(files)} images"
    )
    labels = (
        labels_of_subfolders(folder, files, list(subfolders), classes)
        if subfolders
        else read_labels(folder, files, classes)
    )
    pixels = np.empty((len(files), height, width, channels), np.uint8)
    for i, path in enumerate(files):
        pixels[i] = _read_image(path, channels, (width, height), memory_limit)
    return ImageFolder(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)), labels)


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """An image with 8 bits per channel in the mode "L" or "RGB", turned as its EXIF says.

    | it is                                    | it becomes                                                              |
    |------------------------------------------|-------------------------------------------------------------------------|
    | black and white, grey of 2, 4 or 8 bits  | 0 to 255                                                                |
    | grey of 16 bits                          | `value * 255 / 65535`, rounded                                          |
    | colours of 16 bits per channel           | their upper 8 bits (as Pillow decodes them)                             |
    | a palette                                | its colours                                                             |
    | with transparency                        | the colours without it, as if nothing were transparent                  |
    | CMYK, YCbCr, HSV                         | RGB by Pillow's formulas; colour profiles are not applied               |
    | colour, for a grey input                 | `0.299 R + 0.587 G + 0.114 B`                                           |
    | grey, for a colour input                 | three equal channels                                                    |
    | turned or mirrored by its EXIF           | upright, all eight ways                                                 |
    | 32-bit integers or floats, CIELAB        | refused: nothing says what is black and what is white                   |

    Raises:
        ValueError: it has no scale.
    """
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode in _SIXTEEN_BITS or image.mode == "I":
        values = np.asarray(image).astype(np.int64)
        if values.size and not 0 <= int(values.min()) <= int(values.max()) <= _LARGEST:
            raise ValueError("32-bit integers, of which nothing says what is black and what is white")
        image = Image.fromarray(((values * 255 + _LARGEST // 2) // _LARGEST).astype(np.uint8))
    elif image.mode in ("F", "LAB"):
        kind = "floats" if image.mode == "F" else "CIELAB colours"
        raise ValueError(f"{kind}, of which nothing says what is black and what is white")
    elif image.mode == "La":
        image = image.convert("LA")
    return image.convert(mode)


def _read_image(
    path: Path, channels: int, size: tuple[int, int], memory_limit: int | None
) -> NDArray[np.uint8]:
    try:
        from PIL import Image, ImageOps
    except ModuleNotFoundError:
        raise RuntimeMissingError(
            f"reading the images of {path.parent} needs Pillow: install it with  pip install pillow"
        ) from None
    check_file(path, "image")
    try:
        with Image.open(path) as image:
            check_expanded(4 * image.width * image.height, memory_limit, str(path))
            upright = to_mode(image, _MODES[channels])
    except Image.DecompressionBombError as error:
        raise UsageError(f"{path} is too large for an image ({error}): scale it down first") from None
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - a damaged image raises nearly every type there is
        reason = str(error) or type(error).__name__
        raise UsageError(
            f"{path} is not a readable image ({reason}): save it as PNG or JPEG again, or take it away"
        ) from None
    if upright.size != size:
        upright = ImageOps.fit(upright, size, Image.Resampling.BILINEAR)
    return np.asarray(upright).reshape(size[1], size[0], channels)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.is_dir())


def _subfolders(folder: Path) -> dict[str, list[Path]]:
    """The images of the subfolders that have some, in alphabetical order."""
    found = {path.name: _images(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    return {name: files for name, files in found.items() if files}


def synthetic(count: int, shape: tuple[int, ...], seed: int = 0) -> Pixels:
    """Makes up images: a coloured ground with soft waves, ellipses with hard edges, sensor noise.

    Each is made from (seed, index) alone, so the first N of any larger number are the same. White noise would
    not do: its activations behind a few convolutions are nothing like those of photographs.

    Args:
        count: of the images.
        shape: (C, H, W).
        seed: any non-negative number.

    Returns:
        uint8 [count, C, H, W].
    """
    channels, height, width = shape
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    images = np.empty((count, *shape), np.uint8)
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        canvas = np.tile(rng.uniform(40, 215, (channels, 1, 1)), (1, height, width))
        for _ in range(3):
            frequency = rng.uniform(-4, 4, 2)
            wave = np.cos(2 * np.pi * (frequency[0] * y + frequency[1] * x + rng.random()))
            canvas += rng.uniform(-35, 35, (channels, 1, 1)) * wave
        for _ in range(rng.integers(2, 6)):
            centre, radius = rng.random(2), rng.uniform(0.08, 0.4, 2)
            inside = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1
            shade = rng.uniform(0, 255, (channels, 1)) + rng.uniform(-40, 40) * (y + x)[inside]
            canvas[:, inside] = shade
        canvas += rng.normal(0, 5, shape)
        images[index] = np.clip(np.rint(canvas), 0, 255)
    return images
