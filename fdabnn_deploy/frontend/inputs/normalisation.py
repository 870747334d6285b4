"""Mean and std: on which scale of pixels they are, and what a training framework's configuration says of them.

This project's mean and std belong to pixels 0..1 (docs/input-contract.md). Frameworks that load images as bytes, such as mmcv, have
numbers 255 times as large. A mean of pixels 0..1 is at most 1 and their std at most 1/2, so larger ones can be told apart, unless the
inputs are no images at all.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

LEVELS = 255
_CHANNELS = (1, 3, 4)
_LARGEST_MEAN = 1.0
_SMALLEST_STD_OF_BYTES = 10.0
"""A std of pixels 0..1 is at most 1/2, and 1 where nothing is divided; one of bytes is far larger."""

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


def takes_images(shape: Sequence[int]) -> bool:
    """Whether inputs of this shape, without the batch, can be images: grey, RGB, or RGB with something else."""
    return len(shape) == 3 and shape[0] in _CHANNELS


def fits_bytes_only(mean: Sequence[float], std: Sequence[float]) -> bool:
    """Whether mean or std can only be of pixels 0..255. A negative mean is of no pixels at all."""
    if min(mean) < 0 or max(mean) > LEVELS:
        return False
    return max(mean) > _LARGEST_MEAN or max(std) >= _SMALLEST_STD_OF_BYTES


def divided(mean: Sequence[float], std: Sequence[float]) -> Normalisation:
    """The same normalisation for pixels 0..1: whichever of the two is on the scale of bytes, divided by 255.

    Beside a mean of bytes, a std of 1 (pixels that are only shifted) is one of bytes, too.
    """
    of_bytes = max(mean) > _LARGEST_MEAN
    small = max(std) < 1
    new_mean = tuple(m / LEVELS for m in mean) if of_bytes else tuple(mean)
    keep = small if of_bytes else max(std) < _SMALLEST_STD_OF_BYTES
    return new_mean, tuple(std) if keep else tuple(s / LEVELS for s in std)


def as_options(mean: Sequence[float], std: Sequence[float]) -> str:
    """`--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225`, ready to be pasted."""
    return f"--mean {_numbers(mean)} --std {_numbers(std)}"


def _numbers(values: Sequence[float]) -> str:
    # A leading minus would read as an option, and never stands in a mean of pixels.
    return ",".join(f"{value:.6g}" for value in values)


def of_configuration(config: str) -> Normalisation | None:
    """The first mean and std of a configuration text of mmcv or mmengine, as they stand there; None where it has none."""
    found = [re.search(rf"\b{name}\s*=\s*([\[(][\d.,\s]*[\])])", config) for name in ("mean", "std")]
    if not (found[0] and found[1]):
        return None
    try:
        mean, std = (tuple(float(value) for value in ast.literal_eval(match[1])) for match in found if match)
    except (ValueError, SyntaxError, TypeError):
        return None
    return (mean, std) if len(mean) == len(std) > 0 and min(std) > 0 else None


def configuration_of(content: Any) -> str:
    """The configuration text in the `meta` of a checkpoint of mmcv or mmengine; empty where there is none."""
    meta = content.get("meta") if isinstance(content, Mapping) else None
    meta = meta if isinstance(meta, Mapping) else {}
    for key in ("config", "cfg"):
        if isinstance(meta.get(key), str):
            return str(meta[key])
    return ""


def on_unit_scale(found: Normalisation, source: str) -> tuple[Normalisation, str]:
    """A framework's normalisation for pixels 0..1, and the note that says where it is from and what was done.

    Args:
        found: as it stands there.
        source: what says it.
    """
    mean, std = found
    if not fits_bytes_only(mean, std):
        return found, f"mean and std are those of {source}: {as_options(mean, std)}"
    mean, std = divided(mean, std)
    return (mean, std), (
        f"mean and std are those of {source}, for pixels 0..255, divided by 255: {as_options(mean, std)}; give --mean and --std to override"
    )
