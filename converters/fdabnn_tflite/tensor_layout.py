"""How the tensors of a graph (NCHW) lie in a TFLite file (NHWC), and which way round the images are.

TensorFlow knows two paddings. VALID pads nothing; SAME pads `total = max((out - 1) stride + extent - size, 0)` zeros, of which
`total // 2` stand before and the rest behind, where `extent = dilation (kernel - 1) + 1`. PyTorch pads both sides alike. For a 3x3 window
of stride 2 on an even size PyTorch uses one row before and none behind, SAME none before and one behind: mirrored, they agree. LCE's
binary convolution pads zeros with SAME only, so a whole network may be computed on mirrored images: height and width of every
tensor reversed, every kernel reversed, the input reversed once, as one `ReverseV2` op on the file's input. `choose_flipped` decides.

The other way is to pad in front of the sign and to subtract what that added (`lower_binary`). Both are exact. On LCE's interpreter
(x86-64, one thread) a binary ResNet-20 and a ResNet-18 take the same time either way, within 1 %; reversing 224x224 images takes 0.2 ms
of the latter's 32. But the mirrored files are smaller (94 kB instead of 143, 2.4 MB instead of 3.1), because corrections are images of
floats, and scale and offset stay inside the binary convolution, where kernels that write packed signs need them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import AvgPool2d, BinaryConv2d, Conv2d, MaxPool2d, Shape
from fdabnn_tflite.runtime.tensors import Layout

Pair = tuple[int, int]


@dataclass(frozen=True)
class Form:
    """A layout with what it takes to undo it.

    Attributes:
        layout: the arrangement of the values.
        image: (C, H, W) of the flattened image whose order a FLAT or PIXEL tensor has, or () for the graph's order.
    """

    layout: Layout
    image: tuple[int, ...] = ()


PLAIN = Form(Layout.PLAIN)
NHWC = Form(Layout.NHWC)
FLAT = Form(Layout.FLAT)


def natural_form(shape: Shape) -> Form:
    """The form in which tensors of this shape enter and leave a file."""
    return {2: FLAT, 4: NHWC}.get(len(shape), PLAIN)


def stored_shape(shape: Shape, form: Form) -> Shape:
    """The shape in the file of a graph tensor of this shape."""
    if form.layout is Layout.NHWC:
        return (shape[0], *shape[2:], shape[1])
    if form.layout is Layout.PIXEL:
        return (shape[0], 1, 1, shape[1])
    return shape


def flat_order(image: tuple[int, ...], flipped: bool) -> NDArray[np.int64]:
    """For each place of a tensor flattened in the order [H, W, C], the index in the graph's order [C, H, W] that lies there."""
    order = np.arange(math.prod(image)).reshape(image).transpose(1, 2, 0)
    return (order[::-1, ::-1] if flipped else order).reshape(-1)


def in_order(values: NDArray[Any], form: Form, flipped: bool) -> NDArray[Any]:
    """Puts parameters, whose last dimension belongs to a tensor's dimension 1, into the order in which that dimension is stored."""
    return values[..., flat_order(form.image, flipped)] if form.image else values


def channel_values(values: NDArray[Any], shape: Shape, form: Form, flipped: bool) -> NDArray[Any]:
    """Arranges per-channel parameters [C] (or a scalar) so that they broadcast against a stored tensor."""
    if values.ndim == 0:
        return values
    if form.layout is Layout.PLAIN:
        return values.reshape((-1,) + (1,) * (len(shape) - 2))
    return in_order(values, form, flipped)


class Padding(Enum):
    """How TensorFlow expresses the windows of an op."""

    VALID = "VALID"
    SAME = "SAME"
    EXPLICIT = "EXPLICIT"
    """Neither: pad first, then VALID."""


@dataclass(frozen=True)
class Windows:
    """The windows of a convolution or pool over a stored image, height and width.

    Attributes:
        crop: leading rows and columns that no window touches and that have to be cut off first.
        pads: (before, behind) rows and columns outside the image that windows touch.
        padding: the TensorFlow padding that gives these windows on the cut image.
        oversized: whether a window is larger than the cut image. There LCE's zero padding gives wrong sums, even for a 3x3 window
            on a 2x2 image.
    """

    crop: Pair
    pads: tuple[Pair, Pair]
    padding: Padding
    oversized: bool


def windows(
    size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, flipped: bool
) -> Windows:
    """Works out the windows of an op as they lie on the stored image.

    Window i begins at `i stride - padding`, so the last one ends `behind = (out - 1) stride + extent - size - padding` beyond the
    image (or before its end, where the division leaves a remainder). Mirroring swaps the two sides.

    Args:
        size: height and width of the image.
        out: height and width of the result.
        kernel: of the op, like the next three.
        stride: see kernel.
        padding: see kernel; on both sides alike.
        dilation: see kernel.
        flipped: whether the image is stored mirrored.
    """
    crop, pads, same, valid, oversized = [], [], True, True, False
    for axis in (0, 1):
        extent = dilation[axis] * (kernel[axis] - 1) + 1
        before = padding[axis]
        behind = (out[axis] - 1) * stride[axis] + extent - size[axis] - before
        if flipped:
            before, behind = behind, before
        cut = max(-before, 0)
        before += cut
        fits = out[axis] == -(-(size[axis] - cut) // stride[axis])
        same = same and fits and before == max(before + behind, 0) // 2
        valid = valid and before == 0 and behind <= 0
        oversized = oversized or extent > size[axis] - cut
        crop.append(cut)
        pads.append((before, max(behind, 0)))
    kind = Padding.VALID if valid else Padding.SAME if same else Padding.EXPLICIT
    return Windows((crop[0], crop[1]), (pads[0], pads[1]), kind, oversized)


def op_windows(
    op: Conv2d | BinaryConv2d | MaxPool2d | AvgPool2d, x: Shape, y: Shape, flipped: bool
) -> Windows:
    """The windows of an op that takes x [N, C, H, W] to y [N, O, H', W']."""
    if isinstance(op, Conv2d | BinaryConv2d):
        kernel, dilation = op.weight.shape[2:], op.dilation
    else:
        kernel, dilation = op.kernel, (1, 1)
    return windows(
        (x[2], x[3]), (y[2], y[3]), (kernel[0], kernel[1]), op.stride, op.padding, dilation, flipped
    )


def pads_before_sign(op: BinaryConv2d, place: Windows) -> bool:
    """Whether LCE's own padding cannot express these windows of a binary convolution."""
    padded = any(map(any, place.pads))
    return padded and (place.padding is not Padding.SAME or (op.padding_value == 0 and place.oversized))


def extra_work(graph: Graph, flipped: bool) -> float:
    """Values per image that a file writes only because of paddings: reversed, cut or padded copies, and corrections.

    Infinite where a mirrored image would be cut off completely, because no window but those in the padding is left.

    A binary convolution whose zeros LCE cannot pad needs a padded copy of its input, and three passes over its output, because
    the correction keeps LCE from fusing scale and offset into it.
    """
    work = 0.0
    if flipped:
        for name in (*graph.inputs, *graph.outputs):
            shape = graph.shape(name)
            work += math.prod(shape[1:]) if len(shape) == 4 else 0
    for node in graph.nodes_of(Conv2d, BinaryConv2d, MaxPool2d, AvgPool2d):
        assert isinstance(node.op, Conv2d | BinaryConv2d | MaxPool2d | AvgPool2d)
        x, y = graph.shape(node.inputs[0]), graph.shape(node.name)
        place = op_windows(node.op, x, y, flipped)
        if place.crop[0] >= x[2] or place.crop[1] >= x[3]:
            return math.inf
        if isinstance(node.op, BinaryConv2d):
            padded = pads_before_sign(node.op, place)
            work += 3 * math.prod(y[1:]) if padded and node.op.padding_value == 0 else 0
        else:
            padded = place.padding is Padding.EXPLICIT
        if padded or any(place.crop):
            work += x[1] * math.prod(x[2 + a] - place.crop[a] + sum(place.pads[a]) for a in (0, 1))
    return work


def choose_flipped(graph: Graph) -> bool:
    """Whether to compute the network on mirrored images: where that leaves less extra work."""
    return extra_work(graph, flipped=True) < extra_work(graph, flipped=False)
