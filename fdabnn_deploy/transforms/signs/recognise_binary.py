"""Finds the 1-bit layers: a convolution or dense layer whose input is a sign and whose weight is `s_o * B`, B of +-1.

`conv(h * Sign(x), s_o * B) + b = (h s_o) * conv(Sign(x), B) + b`: the layer becomes a binary operator followed by an affine; an h that is
negative in some channels changes the sign of their weights. What is not binary stays a float layer, and the reason is reported.

Two values that are not opposite (AdaBin; activations of 0 and 1) add terms:

    conv(h s + o, a B + b) = a h conv(s, B) + b h conv(s, 1) + conv(o, a B + b),   s = Sign(x)

The second is a binary layer with one filter of ones, spread to all channels by a 1x1 convolution. The third is a constant: one per channel,
or per channel and place where zeros are padded, unless 0 is one of the two values: then padding is a sign, too.

An input of k bits is k signs (`bit_planes`), and the layer k binary ones, whose sums are added with their powers of two. So is an input
that is a sum of signs (`sign_sum`), such as a ternary one with two thresholds.

A third value, 0, is the mean of +1 and -1. Weights with zeros, and with `sign_zero` "exact" signs that may be 0, become two binary layers
(four where both sides have three values), and their sum is divided by their number:

    conv(torch.sign(x), B)        = (conv(Sign(x), B) - conv(Sign(-x), B)) / 2
    conv(Sign(x), T), T in -1..1  = (conv(Sign(x), P) + conv(Sign(x), M)) / 2,   P with +1 and M with -1 where T is 0

All sums are integers; taps outside the image are 0 in each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.evaluation import evaluate64
from fdabnn_deploy.ir.expression import simplify
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.transforms.base import Outcome
from fdabnn_deploy.transforms.signs.binary_weight import BinaryWeight, binary_weight
from fdabnn_deploy.transforms.signs.bit_planes import MOST_BITS, BitPlanes, bit_planes, signs_of_bits
from fdabnn_deploy.transforms.signs.sign_sum import SignSum, sign_sum
from fdabnn_deploy.transforms.signs.split_sign import two_signs
from fdabnn_deploy.transforms.signs.two_values import two_values


@dataclass(frozen=True)
class Verdict:
    """How many binary operators a layer becomes.

    Attributes:
        node: the layer's name.
        binary_layers: 1 for a 1-bit layer, 2 or 4 where a side has three values, k for an input of k bits or signs, 0 for a float layer.
        reason: why not 1, empty where it is.
        remedy: what would change a float layer, empty where nothing has to.
        zeros: how many of its trained weights are exactly 0: a third value.
        ones: how many more binary operators have filters of ones.
        half: the only side that is binary, "weights" or "activations"; empty where both are or none.
    """

    node: str
    binary_layers: int
    reason: str = ""
    remedy: str = ""
    zeros: int = 0
    ones: int = 0
    half: str = ""


@dataclass(frozen=True, eq=False)
class Binary:
    """The parts of a binary layer.

    Attributes:
        sign: the node of the sign that it reads.
        weight: its weight.
        gain: h, the scale of its input, by magnitude.
        flips: +1 or -1 per input channel, where h is negative.
        offset: o, what is added to its input.
        planes: of an input of a few bits, or that is a sum of signs.
    """

    sign: Node
    weight: BinaryWeight
    gain: float
    flips: DoubleArray
    offset: DoubleArray
    planes: BitPlanes | SignSum | None = None

    @property
    def padded_sign(self) -> int:
        """The sign that stands for a 0 in the input, 0 where none does."""
        values = self.gain * self.flips
        if isinstance(self.sign.op, ops.TorchSign) or self.planes is not None:
            return 0
        if not np.any(self.offset) or np.ptp(values) or np.ptp(self.offset):
            return 0
        return int(np.sign(-self.offset[0] / values[0])) if abs(values[0]) == abs(self.offset[0]) else 0


_SUMS: tuple[type[Op], ...] = (ops.Affine, ops.Add, ops.Sub)
_ROUNDINGS = 8 * float(np.finfo(np.float32).eps)
_BINARISE = "binarise activations to -1 and +1 and train on"


def judge(graph: Graph, node: Node) -> tuple[Verdict, Binary | None]:
    """The verdict on a trained layer and, unless it is a float layer, what its binary form is made of."""
    assert isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear)
    source = graph[node.inputs[0]]
    weight = binary_weight(node.op.weight)
    values = two_values(graph, source)
    if values is None and isinstance(weight, BinaryWeight):
        image = len(graph.shape(source.name)) in (2, 4)
        planes = bit_planes(graph, source)
        if planes is not None and image:
            return _few_bits(graph, node, weight, planes)
        signs = sign_sum(graph, source)
        if signs is not None and image and len(signs.terms) * len(weight.planes()) <= MOST_BITS:
            return _several_signs(graph, node, weight, signs)
    if values is None:
        half = "weights" if isinstance(weight, BinaryWeight) else ""
        return Verdict(node.name, 0, *_no_sign(graph, source, weight), half=half), None
    sizes = np.abs(values.scale)
    # Values that float32 has rounded give magnitudes that differ by roundings.
    if np.ptp(sizes) > _ROUNDINGS * sizes.max() or not sizes.min():
        return Verdict(node.name, 0, *_other_values(values.scale)), None
    source = values.sign
    if isinstance(weight, str):
        remedy = (
            "give the weight one magnitude per output channel, such as scale * torch.sign(w), and train on"
            if "magnitudes" in weight
            else "binarise its weight and retrain"
        )
        reason = f"its input is a sign, but {weight}"
        return Verdict(node.name, 0, reason, remedy, half="activations"), None
    if len(graph.shape(source.name)) not in (2, 4):
        reason = f"its input has {len(graph.shape(source.name))} dimensions"
        return Verdict(node.name, 0, reason, "flatten to [N, C] before the dense layer"), None
    zeros = len(weight.zeros)
    three = [("input", isinstance(source.op, ops.TorchSign)), ("weight", bool(zeros))]
    sides = " and ".join(name for name, found in three if found)
    count = 2 ** sum(found for _, found in three)
    reason = f"its {sides} may be 0, the mean of two signs: {count} binary layers" if sides else ""
    ones = 1 + isinstance(source.op, ops.TorchSign) if np.any(weight.offset) else 0
    binary = Binary(source, weight, float(abs(values.scale[0])), np.sign(values.scale), values.offset)
    return Verdict(node.name, count, reason, zeros=zeros, ones=ones), binary


def _few_bits(
    graph: Graph, node: Node, weight: BinaryWeight, planes: BitPlanes
) -> tuple[Verdict, Binary | None]:
    """The same for an input of a few bits: a binary layer per bit."""
    count = planes.bits * (2 if weight.zeros else 1)
    if count > MOST_BITS:
        reason = f"its input has {planes.bits} bits and its weight zeros: {count} binary layers"
        return Verdict(node.name, 0, reason, "take fewer bits", len(weight.zeros), half="weights"), None
    channels = graph.shape(planes.rounded.name)[1]
    signs, middle = np.full(channels, np.sign(planes.scale)), np.full(channels, planes.middle)
    binary = Binary(planes.rounded, weight, abs(planes.scale) / 2, signs, middle, planes)
    reason = f"its input has {planes.bits} bits: {count} binary layers" if count > 1 else ""
    ones = planes.bits if np.any(weight.offset) else 0
    return Verdict(node.name, count, reason, zeros=len(weight.zeros), ones=ones), binary


def _several_signs(
    graph: Graph, node: Node, weight: BinaryWeight, signs: SignSum
) -> tuple[Verdict, Binary | None]:
    """The same for an input that is a sum of signs: a binary layer for each."""
    terms = len(signs.terms)
    count = terms * len(weight.planes())
    channels = graph.shape(node.inputs[0])[1]
    ones, offset = np.ones(channels), np.full(channels, signs.offset)
    binary = Binary(signs.terms[0][0], weight, signs.scale, ones, offset, signs)
    reason = f"its input is a sum of {terms} signs: {count} binary layers"
    more = terms if np.any(weight.offset) else 0
    return Verdict(node.name, count, reason, zeros=len(weight.zeros), ones=more), binary


def _other_values(scale: DoubleArray) -> tuple[str, str]:
    """Why a sign with this scale behind it takes more than two values, and the remedy."""
    constant = scale == 0
    if np.any(constant):
        which = "" if np.all(constant) else f" in {np.count_nonzero(constant)} of {constant.size} channels"
        return (
            f"its input is the same for every input{which}",
            "mend the sign in front of it, which never changes",
        )
    low, high = (float(pick(np.abs(scale))) for pick in (np.min, np.max))
    return (
        f"its input has another magnitude from channel to channel ({low:g} to {high:g}), not one s for -s and +s",
        "give it one magnitude for all channels, such as torch.sign(x), and train on; a scale per channel may stand behind the layer",
    )


def _no_sign(graph: Graph, source: Node, weight: BinaryWeight | str) -> tuple[str, str]:
    """Why a layer is no binary one, and the remedy, where its input is not a sign."""
    if _made_of_signs(graph, source):
        made = f"{source.op.kind} {source.name} adds an offset or other signs"
        reason = f"its input is made of signs, but takes other values than -s and +s ({made})"
        return reason, _BINARISE
    if _made_of_signs(graph, source, (*_SUMS, ops.Maximum, ops.Mul)):
        reason = f"its input is a mask or choice made of several comparisons or signs ({source.op.kind} {source.name})"
        return (
            reason,
            "write one comparison with one constant per channel, such as x > 0 for (x > 4) | (x > 0)",
        )
    if isinstance(weight, BinaryWeight):
        remedy = "pass its input through a sign"
        if isinstance(source.op, ops.Add | ops.Sub):
            remedy += (
                "; in a straight-through estimator add and subtract the same surrogate: "
                "s = F.hardtanh(x); s + (torch.sign(x) - s).detach()"
            )
        return f"its weight is binary, its input is not a sign ({source.op.kind} {source.name})", remedy
    return (
        "full precision: neither input nor weight is a sign",
        "binarise both and retrain, except in the first and the last layer",
    )


def _made_of_signs(graph: Graph, node: Node, kinds: tuple[type[Op], ...] = _SUMS) -> bool:
    """Whether a tensor is made of signs by operators of these kinds: as a sum, scaled and with offsets."""
    seen: set[str] = set()
    stack = [node]
    while stack:
        part = stack.pop()
        if part.name in seen or isinstance(part.op, ops.Sign | ops.TorchSign):
            continue
        if not isinstance(part.op, kinds):
            return False
        seen.add(part.name)
        stack.extend(graph.producers(part))
    return True


def recognise_binary(graph: Graph) -> Outcome:
    """Replaces every trained layer by its binary or float form."""
    editor, applied = Editor(graph), 0
    notes: list[str] = []
    skipped: list[str] = []
    for node in graph:
        if not isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear):
            continue
        verdict, binary = judge(graph, node)
        if binary is None:
            skipped.append(f"{node.name}: {verdict.reason}")
            editor.set(node.name, _float_form(node.op), node.inputs)
            continue
        weight = binary.weight
        if weight.float32_disagreements:
            notes.append(
                f"{node.name}: {weight.float32_disagreements} weight signs differ between float32 and float64; float64 is used"
            )
        _replace(editor, graph, node, binary)
        applied += 1
    changed = applied or skipped
    return Outcome(editor.finish() if changed else graph, applied, tuple(notes), tuple(skipped))


def _replace(editor: Editor, graph: Graph, node: Node, binary: Binary) -> None:
    """Writes a layer as binary operators, scales and constants."""
    assert isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear)
    weight = binary.weight
    total = _sum(editor, graph, node, binary, binary.weight.planes())
    bias = np.zeros(len(weight.scale)) if node.op.bias is None else node.op.bias.astype(np.float64)
    constant = _constant(graph, node, binary)
    everywhere = constant.reshape(len(constant), -1)[:, :1]
    same = np.array_equal(
        np.broadcast_to(everywhere, (len(constant), constant[0].size)), constant.reshape(len(constant), -1)
    )
    halves = len(weight.planes()) * (2 if isinstance(binary.sign.op, ops.TorchSign) else 1)
    scaled = ops.Affine(weight.scale * binary.gain / halves, bias + everywhere[:, 0] if same else bias)
    if not np.any(weight.offset) and same:
        editor.set(node.name, scaled, (total,))
        return
    name = _add(editor, node, scaled, (total,), "scaled")
    if np.any(weight.offset):
        spread = _spread(editor, graph, node, binary)
        if same:
            editor.set(node.name, ops.Add(), (name, spread))
            return
        name = _add(editor, node, ops.Add(), (name, spread), "both")
    one = np.ones((1,) * constant.ndim, np.float32)
    editor.set(node.name, ops.PositionAffine(one, constant.astype(np.float32)), (name,))


def _spread(editor: Editor, graph: Graph, node: Node, binary: Binary) -> str:
    """`b h conv(s, 1)`: filters of ones, one per group, times a number per output channel."""
    assert isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear)
    shape = binary.weight.signs.shape
    groups = node.op.groups if isinstance(node.op, ops.TrainedConv2d) else 1
    ones = _sum(editor, graph, node, binary, (np.ones((groups, *shape[1:]), np.int8),), "ones")
    halves = 2 if isinstance(binary.sign.op, ops.TorchSign) else 1
    factors = (binary.weight.offset * binary.gain / halves).astype(np.float32)
    if isinstance(node.op, ops.TrainedLinear):
        return _add(editor, node, ops.Linear(factors.reshape(-1, 1), None), (ones,), "spread")
    spread = ops.Conv2d(factors.reshape(-1, 1, 1, 1), None, groups=groups)
    return _add(editor, node, spread, (ones,), "spread")


def _constant(graph: Graph, node: Node, binary: Binary) -> DoubleArray:
    """`conv(o, a B + b)` [O, H, W] of a convolution, [O] of a dense layer: what the offset of the input adds."""
    assert isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear)
    values, op = binary.weight.values, node.op
    if binary.weight.zeros:
        values = np.mean(
            [
                plane * binary.weight.scale.reshape(-1, *(1,) * (values.ndim - 1))
                for plane in binary.weight.planes()
            ],
            axis=0,
        )
    groups = op.groups if isinstance(op, ops.TrainedConv2d) else 1
    per_group = binary.offset.reshape(groups, -1).repeat(len(values) // groups, axis=0)
    taps: DoubleArray = np.einsum("oc,oc...->o...", per_group, values)
    if isinstance(op, ops.TrainedLinear):
        return taps
    rows, columns = (_inside(graph, node, axis, everywhere=bool(binary.padded_sign)) for axis in (0, 1))
    constant: DoubleArray = np.einsum("ouv,uh,vw->ohw", taps, rows, columns)
    return constant


def _inside(graph: Graph, node: Node, axis: int, *, everywhere: bool) -> DoubleArray:
    """1 for every tap of a kernel and every place of the result along an axis where the tap lies inside the image, else 0."""
    op = node.op
    assert isinstance(op, ops.TrainedConv2d)
    kernel, size = op.weight.value.shape[2 + axis], graph.shape(node.inputs[0])[2 + axis]
    places = np.arange(graph.shape(node.name)[2 + axis]) * op.stride[axis] - op.padding[axis]
    read = places[None, :] + np.arange(kernel)[:, None] * op.dilation[axis]
    return ((read >= 0) & (read < size) | everywhere).astype(np.float64)


def _sum(
    editor: Editor,
    graph: Graph,
    node: Node,
    binary: Binary,
    planes: tuple[NDArray[np.int8], ...],
    part: str = "binary",
) -> str:
    """The binary operators of a layer, added up; returns the name of the sum."""
    assert isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear)
    signs = [(binary.sign.name, 1)]
    if isinstance(binary.sign.op, ops.TorchSign):
        plus, minus = two_signs(editor, graph, binary.sign)
        signs = [(plus, 1), (minus, -1)]
    if isinstance(binary.planes, BitPlanes):
        signs = signs_of_bits(editor, graph, binary.planes)
    elif binary.planes is not None:
        signs = [(sign.name, factor) for sign, factor in binary.planes.terms]
    terms = [(sign, factor, plane) for sign, factor in signs for plane in planes]
    total = ""
    for sign, factor, plane in terms:
        # What is subtracted is negated instead: runtimes fuse additions into convolutions (`guard_sums`).
        flipped = _flipped(plane, binary.flips) * np.int8(np.sign(-factor if total else factor))
        op, source = _binary_form(node.op, flipped), sign
        if isinstance(op, ops.BinaryConv2d) and binary.padded_sign and any(op.padding):
            op, source = _padded(editor, node, op, editor[sign], binary.padded_sign)
        name = _add(editor, node, op, (source,), part)
        if abs(factor) != 1:
            outputs = len(plane)
            times = ops.Affine(np.full(outputs, float(abs(factor))), np.zeros(outputs))
            name = _add(editor, node, times, (name,), "times")
        total = _add(editor, node, ops.Sub(), (total, name), "sum") if total else name
    return total


def _padded(
    editor: Editor, node: Node, op: ops.BinaryConv2d, sign: Node, value: int
) -> tuple[ops.BinaryConv2d, str]:
    """A convolution whose padding is a sign, and what it reads: kernels pad with +1, for -1 the image is padded in front of its sign."""
    if value == 1:
        return replace(op, padding_value=1), sign.name
    name = f"{sign.name}_padded_{'_'.join(map(str, op.padding))}"
    if name not in editor:
        pads = ((0, 0), *((amount, amount) for amount in op.padding))
        image = _add(editor, node, ops.Pad(pads, -1.0), sign.inputs, "padded")
        editor.add(Node(name, ops.Sign(), (image,), node.module, node.source, node.text), near=node.name)
    return replace(op, padding=(0, 0)), name


def _flipped(signs: NDArray[np.int8], flips: DoubleArray) -> NDArray[np.int8]:
    """Weights [O, C / groups, ...] for an input whose channels [C] have changed their signs."""
    groups = len(flips) // signs.shape[1]
    grouped = signs.reshape(groups, -1, *signs.shape[1:])
    factors = flips.astype(np.int8).reshape(groups, 1, signs.shape[1], *(1,) * (signs.ndim - 2))
    return (grouped * factors).reshape(signs.shape)


def _add(editor: Editor, node: Node, op: Op, inputs: tuple[str, ...], part: str) -> str:
    name = editor.fresh(f"{node.name}_{part}")
    editor.add(Node(name, op, inputs, node.module, node.source, node.text), near=node.name)
    return name


def _binary_form(op: ops.TrainedConv2d | ops.TrainedLinear, signs: NDArray[np.int8]) -> Op:
    if isinstance(op, ops.TrainedLinear):
        return ops.BinaryLinear(signs)
    return ops.BinaryConv2d(signs, op.stride, op.padding, op.dilation, op.groups)


def _float_form(op: ops.TrainedConv2d | ops.TrainedLinear) -> Op:
    value = np.ascontiguousarray(evaluate64(simplify(op.weight)).astype(np.float32))
    if isinstance(op, ops.TrainedLinear):
        return ops.Linear(value, op.bias)
    return ops.Conv2d(value, op.bias, op.stride, op.padding, op.dilation, op.groups)
