"""Kernels, images and options of convolutions for conformance tests, binary and float."""

from __future__ import annotations

from typing import Any

import numpy as np

from fdabnn_deploy.ir.ops.drawing import pair

Options = dict[str, Any]
"""Keyword arguments of a convolution."""

Kernel = tuple[int, int, int, int]
"""The shape [O, C/groups, kh, kw] of a weight."""

CONVOLUTIONS: tuple[tuple[str, Kernel, tuple[int, int, int], Options], ...] = (
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
"""Corners: a name, the weight's shape, the image's shape [C, H, W] and the options."""


def draw_convolution(rng: np.random.Generator) -> tuple[Kernel, tuple[int, int, int], Options]:
    """The weight's shape, the image's shape [C, H, W] and the options of a random convolution."""
    groups, inner, outer = (int(rng.integers(1, high)) for high in (4, 10, 5))
    kernel, dilation = pair(rng, 1, 4), pair(rng, 1, 2)
    height, width = ((k - 1) * d + 1 + int(rng.integers(0, 6)) for k, d in zip(kernel, dilation, strict=True))
    options = {
        "stride": pair(rng, 1, 3), "padding": pair(rng, 0, 2), "dilation": dilation, "groups": groups
    }  # fmt: skip
    return (groups * outer, inner, *kernel), (groups * inner, height, width), options
