"""Finds the 1-bit layers: a convolution or dense layer whose input is a sign and whose weight is `s_o * B`, B of +-1.

`conv(h * Sign(x), s_o * B) + b = (h s_o) * conv(Sign(x), B) + b`: the layer becomes a binary operator followed by an affine. What is not
binary stays a float layer, and the reason is reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fdabnn_deploy.binary_weight import BinaryWeight, binary_weight
from fdabnn_deploy.expression import evaluate64, simplify
from fdabnn_deploy.graph import Editor, Graph, Node
from fdabnn_deploy.ops import (
    Affine,
    BinaryConv2d,
    BinaryLinear,
    Conv2d,
    Linear,
    Op,
    Sign,
    TrainedConv2d,
    TrainedLinear,
)
from fdabnn_deploy.passes.base import Outcome


@dataclass(frozen=True)
class Verdict:
    """Whether a layer is 1-bit.

    Attributes:
        node: the layer's name.
        one_bit: whether it is.
        reason: why not, empty where it is.
        remedy: what would change it, empty where nothing has to.
        zeros: how many of its trained weights were exactly 0 and count as +1.
    """

    node: str
    one_bit: bool
    reason: str = ""
    remedy: str = ""
    zeros: int = 0


def judge(graph: Graph, node: Node) -> tuple[Verdict, BinaryWeight | None, float, str]:
    """The verdict on a trained layer, with its weight, the scale h of its input and the name of the sign it reads."""
    assert isinstance(node.op, TrainedConv2d | TrainedLinear)
    source = graph[node.inputs[0]]
    gain = 1.0
    if isinstance(source.op, Affine) and isinstance(graph[source.inputs[0]].op, Sign):
        if np.any(source.op.offset) or np.ptp(source.op.scale):
            low, high = source.op.offset[0] - source.op.scale[0], source.op.offset[0] + source.op.scale[0]
            reason = f"its input takes the values {low:g} and {high:g}, not -s and +s"
            return (
                Verdict(node.name, False, reason, "binarise activations to -1 and +1 and train on"),
                None,
                1.0,
                "",
            )
        gain, source = float(source.op.scale[0]), graph[source.inputs[0]]
    weight = binary_weight(node.op.weight)
    if not isinstance(source.op, Sign):
        kind = source.op.kind
        if isinstance(weight, BinaryWeight):
            reason, remedy = (
                f"its weight is binary, its input is not a sign ({kind} {source.name})",
                "pass its input through a sign",
            )
        else:
            reason, remedy = "full precision: neither input nor weight is a sign", "binarise both and retrain"
        return Verdict(node.name, False, reason, remedy), None, 1.0, ""
    if isinstance(weight, str):
        remedy = (
            "give the weight one magnitude per output channel, such as scale * torch.sign(w), and train on"
            if "magnitudes" in weight
            else "binarise its weight and retrain"
        )
        return Verdict(node.name, False, f"its input is a sign, but {weight}", remedy), None, 1.0, ""
    if len(graph.shape(source.name)) not in (2, 4):
        reason = f"its input has {len(graph.shape(source.name))} dimensions"
        return Verdict(node.name, False, reason, "flatten to [N, C] before the dense layer"), None, 1.0, ""
    return Verdict(node.name, True, zeros=len(weight.zeros)), weight, gain, source.name


def recognise_binary(graph: Graph) -> Outcome:
    """Replaces every trained layer by its binary or float form."""
    editor, applied = Editor(graph), 0
    notes: list[str] = []
    skipped: list[str] = []
    for node in graph:
        if not isinstance(node.op, TrainedConv2d | TrainedLinear):
            continue
        verdict, weight, gain, sign = judge(graph, node)
        if weight is None:
            skipped.append(f"{node.name}: {verdict.reason}")
            editor.set(node.name, _float_form(node.op), node.inputs)
            continue
        if weight.zeros:
            notes.append(f"{node.name}: {len(weight.zeros)} weights are exactly 0 and count as +1")
        if weight.float32_disagreements:
            notes.append(
                f"{node.name}: {weight.float32_disagreements} weight signs differ between float32 and float64; float64 is used"
            )
        inner = editor.fresh(f"{node.name}_binary")
        editor.add(
            Node(inner, _binary_form(node.op, weight), (sign,), node.module, node.source), near=node.name
        )
        bias = np.zeros(len(weight.scale)) if node.op.bias is None else node.op.bias.astype(np.float64)
        editor.set(node.name, Affine(weight.scale * abs(gain), bias), (inner,))
        if gain < 0:
            editor.set(inner, _binary_form(node.op, weight, flip=True), (sign,))
        applied += 1
    changed = applied or skipped
    return Outcome(editor.finish() if changed else graph, applied, tuple(notes), tuple(skipped))


def _binary_form(op: TrainedConv2d | TrainedLinear, weight: BinaryWeight, flip: bool = False) -> Op:
    signs = -weight.signs if flip else weight.signs
    if isinstance(op, TrainedLinear):
        return BinaryLinear(signs)
    return BinaryConv2d(signs, op.stride, op.padding, op.dilation, op.groups)


def _float_form(op: TrainedConv2d | TrainedLinear) -> Op:
    value = np.ascontiguousarray(evaluate64(simplify(op.weight)).astype(np.float32))
    if isinstance(op, TrainedLinear):
        return Linear(value, op.bias)
    return Conv2d(value, op.bias, op.stride, op.padding, op.dilation, op.groups)
