"""Seeded parameters, sizes and inputs of conformance cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SPECIAL_VALUES = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 1e-30, -50.0], dtype=np.float32)
"""Values that implementations get wrong: both zeros, ties, values that vanish beside others."""


def floats(rng: np.random.Generator, shape: tuple[int, ...], special: bool = False) -> NDArray[np.float32]:
    """Normal values; with `special`, one in ten is one of `SPECIAL_VALUES`."""
    values = rng.standard_normal(shape, dtype=np.float32)
    return np.where(rng.random(shape) < 0.1, rng.choice(SPECIAL_VALUES, shape), values) if special else values


def signs(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Random +-1."""
    return np.where(rng.random(shape) < 0.5, -1, 1).astype(np.int8)


def limits(rng: np.random.Generator) -> tuple[float, float]:
    """Two numbers, the smaller one first."""
    low, high = np.sort(floats(rng, (2,)))
    return float(low), float(high)


def pair(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    """Two integers from `low` to `high`."""
    return int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))


def image(rng: np.random.Generator, least: int = 1) -> tuple[int, int, int]:
    """A shape [C, H, W] with height and width from `least` on."""
    return int(rng.integers(1, 9)), *pair(rng, least, least + 6)
