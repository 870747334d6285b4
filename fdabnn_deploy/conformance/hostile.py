"""Batch norms and inputs as trained networks and users have them at their worst: what random graphs are drawn and run with."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Affine, Array, FloatArray, Input, Saturate

NORM_KINDS = ("plain", "tiny variance", "huge variance", "negative gamma", "zero gamma", "mixed")
"""`tiny variance`: channels that hardly vary, multiplied by up to 1e6; `huge variance`: divided by up to 1e8."""

_LARGEST = float(np.finfo(np.float32).max)
_SPECIAL = np.array(
    [0.0, -0.0, 1e-45, -1e-40, 1.1754944e-38, -1e-30, 1e-8, 0.5, 1.5, -2.5, 255.0, 1e6, -1e18, 1e30, -1e30, _LARGEST, -_LARGEST,
     np.inf, -np.inf, np.nan],
    dtype=np.float32,
)  # fmt: skip


def random_norm(rng: np.random.Generator, kind: str, x: Array) -> Affine:
    """A batch norm of one of `NORM_KINDS`, folded: `scale = gamma / sqrt(variance)`, `offset = beta - mean * scale`.

    Args:
        rng: to draw with.
        kind: of the statistics.
        x: values in front of it [N, C, ...], whose mean and deviation the norm has where its kind does not say otherwise.
    """
    channels = x.shape[1]
    axes = (0, *range(2, x.ndim))
    x64 = x.astype(np.float64)
    mean = x64.mean(axis=axes) + 0.1 * rng.standard_normal(channels)
    deviation = np.maximum(x64.std(axis=axes), 1e-3) * rng.uniform(0.7, 1.5, channels)
    gamma = np.abs(rng.normal(0.8, 0.4, channels))
    beta = rng.normal(0, 0.5, channels)
    kinds = np.full(channels, kind) if kind != "mixed" else rng.choice(NORM_KINDS[:-1], channels)
    gamma[kinds == "negative gamma"] *= -1
    gamma[kinds == "zero gamma"] = 0
    scale = gamma / deviation
    # gamma and running variance are float32 in a checkpoint; the fold is not.
    tiny, huge = kinds == "tiny variance", kinds == "huge variance"
    scale[tiny] = rng.choice([-1, 1], tiny.sum()) * 10 ** rng.uniform(3, 6, tiny.sum())
    scale[huge] = rng.choice([-1, 1], huge.sum()) * 10 ** rng.uniform(-8, -3, huge.sum())
    return Affine(scale, beta - mean * scale)


def normal_inputs(graph: Graph, rng: np.random.Generator, count: int) -> list[Array]:
    """Normal values [count, ...] for every input of the graph; bytes for one of pixels."""
    return [
        _bytes(rng, (count, *graph.shape(name)[1:]))
        if _takes_pixels(graph, name)
        else rng.standard_normal((count, *graph.shape(name)[1:]), dtype=np.float32)
        for name in graph.inputs
    ]


def hostile_inputs(graph: Graph, rng: np.random.Generator) -> list[Array]:
    """Four images for every input of the graph: normal, with special values here and there, of special values only, and of zeros.

    The special values are both zeros, denormals, halves, magnitudes up to the largest float32, infinities and NaN; where the graph
    saturates its inputs, also the limits and their neighbours. The zeros are +0, -0 or a denormal, the same in the whole image.

    Pixels are bytes, then those near the ends only, then all 255, then all 0.
    """
    return [
        _hostile_pixels(rng, graph.shape(name)[1:])
        if _takes_pixels(graph, name)
        else _hostile(rng, graph.shape(name)[1:], _with_limits(graph, name))
        for name in graph.inputs
    ]


def _takes_pixels(graph: Graph, name: str) -> bool:
    op = graph[name].op
    return isinstance(op, Input) and op.pixels


def _bytes(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return rng.integers(0, 256, shape, np.uint8)


def _hostile_pixels(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    values = _bytes(rng, (4, *shape))
    values[1] = rng.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), shape)
    values[2], values[3] = 255, 0
    return values


def _hostile(rng: np.random.Generator, shape: tuple[int, ...], special: FloatArray) -> FloatArray:
    values = rng.standard_normal((4, *shape), dtype=np.float32)
    values[1] = np.where(rng.random(shape) < 0.15, rng.choice(special, shape), 3 * values[1])
    values[2] = rng.choice(special, shape)
    values[3] = rng.choice(_SPECIAL[:4])
    return values


def _with_limits(graph: Graph, name: str) -> FloatArray:
    limits = [
        limit
        for node in graph.consumers(name)
        if isinstance(node.op, Saturate)
        for limit in (np.float32(node.op.low), np.float32(node.op.high))
    ]
    near = [np.nextafter(limit, np.float32(side)) for limit in limits for side in (-np.inf, np.inf)]
    return np.array([*_SPECIAL, *limits, *near], dtype=np.float32)
