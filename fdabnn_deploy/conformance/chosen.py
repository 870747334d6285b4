"""Chosen cases: the corners of every operator."""

from __future__ import annotations

import numpy as np

from fdabnn_deploy.conformance.case import Case, make_case
from fdabnn_deploy.conformance.drawn_arrays import Options, convolution, floats, signs
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    AvgPool2d,
    BinaryLinear,
    Clamp,
    Concat,
    GlobalAvgPool,
    GlobalSum,
    Linear,
    Maximum,
    MaxPool2d,
    Mul,
    Op,
    Pad,
    Permute,
    PRelu,
    Relu,
    Reshape,
    RoundToGrid,
    Saturate,
    Sign,
    Slice,
    Softmax,
    Sub,
)

_CONVOLUTIONS: tuple[tuple[str, tuple[int, int, int, int], tuple[int, int, int], Options], ...] = (
    ("conv 3x3", (5, 33, 3, 3), (33, 6, 7), {"padding": (1, 1)}),
    ("conv 3x3 without padding", (4, 3, 3, 3), (3, 5, 5), {}),
    ("conv 3x3 stride 2 even", (4, 3, 3, 3), (3, 8, 6), {"stride": (2, 2), "padding": (1, 1)}),
    ("conv 3x3 stride 2 odd", (4, 3, 3, 3), (3, 7, 9), {"stride": (2, 2), "padding": (1, 1)}),
    ("conv 1x1", (7, 5, 1, 1), (5, 3, 3), {}),
    ("conv 1x1 stride 2", (7, 5, 1, 1), (5, 4, 4), {"stride": (2, 2)}),
    ("conv 7x7 stride 2", (4, 3, 7, 7), (3, 14, 14), {"stride": (2, 2), "padding": (3, 3)}),
    ("conv 11x11 stride 4", (3, 3, 11, 11), (3, 19, 19), {"stride": (4, 4), "padding": (2, 2)}),
    ("conv 1x3 across", (2, 3, 1, 3), (3, 4, 6), {"padding": (0, 1), "stride": (1, 2)}),
    ("conv dilated", (2, 3, 3, 3), (3, 9, 9), {"dilation": (2, 3), "padding": (2, 3)}),
    ("conv grouped", (6, 32, 3, 3), (64, 5, 5), {"groups": 2, "padding": (1, 1)}),
    ("conv depthwise", (8, 1, 3, 3), (4, 5, 5), {"groups": 4, "padding": (1, 1)}),
    ("conv of the whole image", (3, 2, 5, 4), (2, 5, 4), {}),
    ("conv of one value", (1, 1, 1, 1), (1, 1, 1), {}),
)


def chosen_cases() -> list[Case]:
    """Corners of every operator, the same on every call."""
    rng = np.random.default_rng(0)
    convolutions = [
        make_case(f"{name} {kind}", convolution(rng, kind, kernel, options), [shape], rng)
        for name, kernel, shape, options in _CONVOLUTIONS
        for kind in ("binary", "padded with +1", "float")
    ]
    return convolutions + [make_case(name, op, shapes, rng) for name, op, shapes in _chosen(rng)]


def _chosen(rng: np.random.Generator) -> list[tuple[str, Op, list[tuple[int, ...]]]]:
    image = (3, 5, 6)
    ones, zeros, random = np.ones(3), np.zeros(3), rng.normal(size=3)
    return [
        ("sign", Sign(), [(4, 5, 6)]),
        ("sign of a vector", Sign(), [(40,)]),
        ("binary dense", BinaryLinear(signs(rng, (5, 33))), [(33,)]),
        ("binary dense to one", BinaryLinear(signs(rng, (1, 1))), [(1,)]),
        ("binary dense of whole words", BinaryLinear(signs(rng, (64, 96))), [(96,)]),
        ("binary dense of many", BinaryLinear(signs(rng, (130, 1000))), [(1000,)]),
        ("dense", Linear(floats(rng, (5, 64)), floats(rng, (5,))), [(64,)]),
        ("dense without bias", Linear(floats(rng, (5, 64))), [(64,)]),
        ("affine", Affine(random, rng.normal(size=3)), [image]),
        ("affine of a vector", Affine(random, rng.normal(size=3)), [(3,)]),
        ("affine scale only", Affine(random, zeros), [image]),
        ("affine offset only", Affine(ones, random), [image]),
        ("affine identity", Affine(ones, zeros), [image]),
        ("affine with zeros", Affine(np.array([0.0, -0.0, 2.0]), np.array([0.0, 1.0, -1.0])), [image]),
        ("prelu shared", PRelu(np.float32(0.25) * np.ones((), dtype=np.float32)), [image]),
        ("prelu", PRelu(np.array([-0.5, 0.0, 2.0], dtype=np.float32)), [image]),
        ("prelu of a vector", PRelu(np.array([-0.5, 0.0, 2.0], dtype=np.float32)), [(3,)]),
        ("relu", Relu(), [image]),
        ("hardtanh", Clamp(-1.0, 1.0), [image]),
        ("relu6", Clamp(0.0, 6.0), [image]),
        ("clamp to one value", Clamp(0.1, 0.1), [image]),
        ("saturate", Saturate(-1.5, 2.0), [image]),
        ("saturate to one value", Saturate(0.0, 0.0), [image]),
        ("round to grid", RoundToGrid(3), [image]),
        ("round to integers", RoundToGrid(0), [image]),
        ("round to a coarse grid", RoundToGrid(-2), [image]),
        ("round to a fine grid", RoundToGrid(20), [image]),
        ("add", Add(), [image, image]),
        ("add per channel", Add(), [image, (3, 1, 1)]),
        ("sub", Sub(), [image, image]),
        ("mul", Mul(), [image, image]),
        ("mul both broadcast", Mul(), [(3, 1, 6), (1, 5, 1)]),
        ("maximum", Maximum(), [image, image]),
        ("softmax", Softmax(), [(10,)]),
        ("log softmax", Softmax(log=True), [(10,)]),
        ("max pool", MaxPool2d((2, 2), (2, 2)), [(3, 6, 8)]),
        ("max pool leaves a row", MaxPool2d((2, 2), (2, 2)), [(3, 7, 9)]),
        ("max pool ceil", MaxPool2d((2, 2), (2, 2), ceil_mode=True), [(3, 7, 9)]),
        ("max pool padded", MaxPool2d((3, 3), (2, 2), (1, 1)), [(3, 8, 9)]),
        ("max pool padded ceil", MaxPool2d((3, 3), (2, 2), (1, 1), ceil_mode=True), [(3, 8, 9)]),
        ("max pool ceil in the padding", MaxPool2d((2, 2), (3, 3), (1, 1), ceil_mode=True), [(3, 5, 8)]),
        ("max pool 3x2", MaxPool2d((3, 2), (1, 2), (1, 0)), [(2, 4, 6)]),
        ("average pool", AvgPool2d((2, 2), (2, 2)), [(3, 6, 8)]),
        ("average pool leaves a row", AvgPool2d((2, 2), (2, 2)), [(3, 7, 9)]),
        ("average pool padded", AvgPool2d((3, 3), (2, 2), (1, 1)), [(3, 8, 9)]),
        ("average pool inside", AvgPool2d((3, 3), (2, 2), (1, 1), count_include_pad=False), [(3, 8, 9)]),
        ("global pool", GlobalAvgPool(), [(3, 7, 7)]),
        ("global pool with dimensions", GlobalAvgPool(keepdims=True), [(3, 8, 8)]),
        ("global sum", GlobalSum(), [(3, 7, 7)]),
        ("global sum with dimensions", GlobalSum(keepdims=True), [(3, 8, 8)]),
        ("pad", Pad(((0, 0), (1, 2), (0, 3))), [image]),
        ("pad channels", Pad(((2, 1), (0, 0), (0, 0)), value=-1.5), [image]),
        ("pad nothing", Pad(((0, 0), (0, 0), (0, 0))), [image]),
        ("pad a vector", Pad(((1, 2),), value=1.0), [(4,)]),
        ("slice every second", Slice(((0, 3, 1), (0, 5, 2), (1, 6, 2))), [image]),
        ("slice channels", Slice(((1, 2, 1), (0, 5, 1), (0, 6, 1))), [image]),
        ("concat", Concat(), [image, (2, 5, 6), image]),
        ("concat of one", Concat(), [image]),
        ("concat vectors", Concat(), [(3,), (4,)]),
        ("flatten", Reshape((90,)), [image]),
        ("reshape a vector", Reshape((3, 2, 2)), [(12,)]),
        ("permute", Permute((2, 3, 1)), [image]),
        ("permute nothing", Permute((1, 2, 3)), [image]),
    ]  # fmt: skip
