"""Seeded parameters and inputs of the cases."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.ops import BinaryConv2d, Conv2d, FloatArray, Op

SPECIAL_VALUES = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e-30, -50.0], dtype=np.float32)
"""What implementations get wrong: both zeros, ties, values that vanish beside others."""

Options = dict[str, tuple[int, int] | int]
"""Keyword arguments of a convolution."""


def floats(rng: np.random.Generator, shape: tuple[int, ...], special: bool = False) -> FloatArray:
    """Normal values; with `special`, one in ten is one of `SPECIAL_VALUES`."""
    values = rng.standard_normal(shape, dtype=np.float32)
    return np.where(rng.random(shape) < 0.1, rng.choice(SPECIAL_VALUES, shape), values) if special else values


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    """Random +-1."""
    return np.where(rng.random(shape) < 0.5, -1, 1).astype(np.int8)


def convolution(rng: np.random.Generator, kind: str, shape: tuple[int, ...], options: Options) -> Op:
    """A convolution with weight [O, C/groups, kh, kw]; its kind is "binary", "padded with +1" or "float"."""
    if kind == "float":
        return Conv2d(floats(rng, shape), floats(rng, shape[:1]), **options)  # type: ignore[arg-type]
    return BinaryConv2d(signs(rng, shape), **options, padding_value=int(kind == "padded with +1"))  # type: ignore[arg-type]
