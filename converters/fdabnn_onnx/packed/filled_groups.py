"""Groups of few channels, filled up to whole words of bits.

A `BinaryConv` of groups reads whole words: w channels of a group have to be a multiple of 32. A group gets further channels up to the
next multiple, all of them +1, and half of their weights are +1, half -1. At every tap inside the image they add 0, and outside of it, too,
where all channels count 0, or all +1: the sums are those of the layer, and nothing rounds. Their number has to be even, and so has w.

Filling costs values that are moved and products of bits that add nothing. It pays where both together cost less than the float products
of the standard operator, which is the only other form. Counted per image, with W channels in place of w:

    float form    y_pixels O taps w
    filled form   2 x_pixels G W + y_pixels O taps W / 20

A float product costs as much as 20 of bits: 16 against some 340 per cycle with AVX-512. Moving a value twice, into the filled image and
from there into a bit, costs about two float products. So 3x3 layers of as many channels as before pay from w = 4 on, 1x1 layers from
w = 10 on, and depthwise ones never.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.ops import BinaryConv2d, Shape
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.packed.operator_domain import constant

WORD = 32
_BITS_PER_PRODUCT = 20
_MOVES = 2


def filling(op: BinaryConv2d, x: Shape, y: Shape) -> int | None:
    """How many channels each group gets: 0 where its channels are whole words, None where filling is impossible or does not pay."""
    channels = op.weight.shape[1]
    more = -channels % WORD
    if op.groups == 1 or not more:
        return 0
    if more % 2:
        return None
    products = math.prod(y[2:]) * len(op.weight) * math.prod(op.weight.shape[2:])
    wide = channels + more
    filled = _MOVES * math.prod(x[2:]) * op.groups * wide + products * wide / _BITS_PER_PRODUCT
    return more if filled < products * channels else None


def filled_weight(weight: NDArray[np.int8], more: int) -> NDArray[np.int8]:
    """The weight [O, w, kh, kw] with `more` channels that add 0."""
    signs = np.where(np.arange(more) % 2, -1, 1).astype(np.int8)
    shape = (len(weight), more, *weight.shape[2:])
    return np.concatenate([weight, np.broadcast_to(signs[:, None, None], shape)], axis=1)


def write_filled(to: Emitter, source: str, groups: int, more: int) -> str:
    """The tensor [N, C, H, W] with channels of +1 behind those of every group."""
    _, channels, height, width = to.graph.shape(source)
    own = channels // groups
    shapes = ([0, groups, own, height * width], [0, groups * (own + more), height, width])
    before, behind = (constant(to, f"{source}/groups", np.array(shape, np.int64)) for shape in shapes)
    pads = constant(to, f"{source}/fill", np.array([0, 0, 0, 0, 0, 0, more, 0], np.int64))
    one = constant(to, f"{source}/one", np.array(1, np.float32))
    parted, padded, filled = (to.fresh(f"{source}/{part}") for part in ("parted", "padded", "filled"))
    to.standard("Reshape", [source, before], parted)
    to.standard("Pad", [parted, pads, one], padded)
    to.standard("Reshape", [padded, behind], filled)
    return filled
