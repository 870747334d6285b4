"""Finds the 1-bit layers: a convolution or dense layer whose input is a sign and whose weight is `s_o * B`, B of +-1.

`conv(h * Sign(x), s_o * B) + b = (h s_o) * conv(Sign(x), B) + b`: the layer becomes a binary operator followed by an affine; an h that is
negative in some channels changes the sign of their weights. What is not binary stays a float layer, and the reason is reported.

A third value, 0, is the mean of +1 and -1. With `sign_zero` "exact" such layers become two binary layers (four where both sides have three
values), and their sum is divided by their number:

    conv(torch.sign(x), B)        = (conv(Sign(x), B) - conv(Sign(-x), B)) / 2
    conv(Sign(x), T), T in -1..1  = (conv(Sign(x), P) + conv(Sign(x), M)) / 2,   P with +1 and M with -1 where T is 0

All sums are integers; taps outside the image are 0 in each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import DoubleArray
from fdabnn_deploy.ir.evaluation import evaluate64
from fdabnn_deploy.ir.expression import simplify
from fdabnn_deploy.ir.graph import Editor, Graph, Node
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.ir.sign_zero import SignZero
from fdabnn_deploy.transforms.base import Outcome
from fdabnn_deploy.transforms.signs.binary_weight import BinaryWeight, binary_weight
from fdabnn_deploy.transforms.signs.split_sign import two_signs


@dataclass(frozen=True)
class Verdict:
    """How many binary operators a layer becomes.

    Attributes:
        node: the layer's name.
        binary_layers: 1 for a 1-bit layer, 2 or 4 where a side has three values, 0 for a float layer.
        reason: why not 1, empty where it is.
        remedy: what would change a float layer, empty where nothing has to.
        zeros: how many of its trained weights are exactly 0: a third value.
        half: the only side that is binary, "weights" or "activations"; empty where both are or none.
    """

    node: str
    binary_layers: int
    reason: str = ""
    remedy: str = ""
    zeros: int = 0
    half: str = ""


@dataclass(frozen=True, eq=False)
class Binary:
    """The parts of a binary layer.

    Attributes:
        sign: the node of the sign that it reads.
        weight: its weight.
        gain: h, the scale of its input, by magnitude.
        flips: +1 or -1 per input channel, where h is negative.
    """

    sign: Node
    weight: BinaryWeight
    gain: float
    flips: DoubleArray


_SUMS: tuple[type[Op], ...] = (ops.Affine, ops.Add, ops.Sub)
_BINARISE = "binarise activations to -1 and +1 and train on"


def judge(graph: Graph, node: Node, sign_zero: SignZero = "plus") -> tuple[Verdict, Binary | None]:
    """The verdict on a trained layer and, unless it is a float layer, what its binary form is made of."""
    assert isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear)
    source = graph[node.inputs[0]]
    scale = np.ones(graph.shape(source.name)[1])
    if isinstance(source.op, ops.Affine) and isinstance(graph[source.inputs[0]].op, ops.Sign | ops.TorchSign):
        scale = source.op.scale
        if np.any(source.op.offset) or np.ptp(np.abs(scale)) or not scale[0]:
            return Verdict(node.name, 0, *_other_values(source.op)), None
        source = graph[source.inputs[0]]
    exact = sign_zero == "exact"
    weight = binary_weight(node.op.weight, three_valued=exact)
    if not isinstance(source.op, ops.Sign | ops.TorchSign):
        half = "weights" if isinstance(weight, BinaryWeight) else ""
        return Verdict(node.name, 0, *_no_sign(graph, source, weight), half=half), None
    if isinstance(weight, str):
        remedy = (
            "give the weight one magnitude per output channel, such as scale * torch.sign(w), and train on"
            if "magnitudes" in weight
            else "binarise its weight and retrain"
        )
        reason = f"its input is a sign, but {weight}"
        return Verdict(node.name, 0, reason, remedy, half="activations"), None
    zeros = len(weight.zeros)
    if zeros and not exact:
        reason = f"{zeros} of its {weight.signs.size} weights are exactly 0, a third value beside -s and +s (ternary, pruned, masked)"
        remedy = "choose --sign-zero exact, which makes two binary layers of it, or train it without zeros"
        return Verdict(node.name, 0, reason, remedy, zeros), None
    if len(graph.shape(source.name)) not in (2, 4):
        reason = f"its input has {len(graph.shape(source.name))} dimensions"
        return Verdict(node.name, 0, reason, "flatten to [N, C] before the dense layer"), None
    three = [("input", isinstance(source.op, ops.TorchSign)), ("weight", bool(zeros))]
    sides = " and ".join(name for name, found in three if found)
    count = 2 ** sum(found for _, found in three)
    reason = f"its {sides} may be 0, the mean of two signs: {count} binary layers" if sides else ""
    binary = Binary(source, weight, float(abs(scale[0])), np.sign(scale))
    return Verdict(node.name, count, reason, zeros=zeros), binary


def _other_values(op: ops.Affine) -> tuple[str, str]:
    """Why a sign with this behind it takes other values than -s and +s, and the remedy."""
    constant = op.scale == 0
    if np.any(constant):
        which = "" if np.all(constant) else f" in {np.count_nonzero(constant)} of {constant.size} channels"
        return (
            f"its input is the same for every input{which}",
            "mend the sign in front of it, which never changes",
        )
    offset = int(np.argmax(np.abs(op.offset)))
    if op.offset[offset]:
        low, high = sorted((op.offset[offset] - op.scale[offset], op.offset[offset] + op.scale[offset]))
        return f"its input takes the values {low:g} and {high:g}, not -s and +s", _BINARISE
    low, high = (float(pick(np.abs(op.scale))) for pick in (np.min, np.max))
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
    return "full precision: neither input nor weight is a sign", "binarise both and retrain"


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


def recognise_binary(graph: Graph, sign_zero: SignZero = "plus") -> Outcome:
    """Replaces every trained layer by its binary or float form."""
    editor, applied = Editor(graph), 0
    notes: list[str] = []
    skipped: list[str] = []
    for node in graph:
        if not isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear):
            continue
        verdict, binary = judge(graph, node, sign_zero)
        if binary is None:
            skipped.append(f"{node.name}: {verdict.reason}")
            editor.set(node.name, _float_form(node.op), node.inputs)
            continue
        weight = binary.weight
        if weight.float32_disagreements:
            notes.append(
                f"{node.name}: {weight.float32_disagreements} weight signs differ between float32 and float64; float64 is used"
            )
        total = _sum(editor, graph, node, binary)
        bias = np.zeros(len(weight.scale)) if node.op.bias is None else node.op.bias.astype(np.float64)
        scale = weight.scale * binary.gain / verdict.binary_layers
        editor.set(node.name, ops.Affine(scale, bias), (total,))
        applied += 1
    changed = applied or skipped
    return Outcome(editor.finish() if changed else graph, applied, tuple(notes), tuple(skipped))


def _sum(editor: Editor, graph: Graph, node: Node, binary: Binary) -> str:
    """The binary operators of a layer, added up; returns the name of the sum."""
    assert isinstance(node.op, ops.TrainedConv2d | ops.TrainedLinear)
    signs = [(binary.sign.name, 1)]
    if isinstance(binary.sign.op, ops.TorchSign):
        plus, minus = two_signs(editor, graph, binary.sign)
        signs = [(plus, 1), (minus, -1)]
    terms = [(sign, factor, plane) for sign, factor in signs for plane in binary.weight.planes()]
    total = ""
    for sign, factor, plane in terms:
        # What is subtracted is negated instead: runtimes fuse additions into convolutions (`guard_sums`).
        flipped = _flipped(plane, binary.flips) * np.int8(-factor if total else factor)
        name = _add(editor, node, _binary_form(node.op, flipped), (sign,), "binary")
        total = _add(editor, node, ops.Sub(), (total, name), "sum") if total else name
    return total


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
