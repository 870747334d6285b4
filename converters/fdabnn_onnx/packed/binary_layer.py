"""Binary blocks as `BinaryConv` and `PackSigns` (docs/ops/binary-conv.md, docs/ops/pack-signs.md).

A `BinaryConv` is a 1-bit layer with as much of slope, scale, offset and shortcut, in this order, as stands behind it. The next sign is its
second result; any other sign is a `PackSigns`. No number changes: its formula has the same roundings in the same order. Groups of few
channels are filled up (`filled_groups`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fdabnn_deploy.ir.composites import BinaryBlock
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import Add, Affine, BinaryConv2d, BinaryLinear, FloatArray, PRelu
from fdabnn_deploy.native.reference import pack
from fdabnn_onnx.emitter import Emitter
from fdabnn_onnx.lower import LOWERINGS
from fdabnn_onnx.packed.filled_groups import filled_weight, filling, write_filled
from fdabnn_onnx.packed.operator_domain import constant, emit

PARTS = ("slope", "scale", "offset")
"""Constants per channel of a `BinaryConv`, in the order in which it applies them."""


@dataclass(frozen=True)
class PackedForm:
    """How a block is written.

    Attributes:
        constants: per part of `PARTS`, one value per channel or one for all.
        shortcut: the tensor added last, or nothing.
        value: the tensor that the `BinaryConv` makes.
        rest: of the epilogue, which stays standard operators.
        more: how many channels every group of its input is filled up with.
    """

    constants: dict[str, FloatArray]
    shortcut: str
    value: str
    rest: tuple[Node, ...]
    more: int = 0


def packed_form(graph: Graph, node: Node, op: BinaryBlock) -> PackedForm | None:
    """The packed form of a block, None where its layer has none."""
    layer = op.layer.op
    more: int | None = 0
    if isinstance(layer, BinaryConv2d):
        more = filling(layer, graph.shape(node.inputs[0]), graph.shape(node.name))
    if more is None or not _reaches(layer):
        return None
    form = _epilogue(node, op)
    return replace(form, more=more)


def _epilogue(node: Node, op: BinaryBlock) -> PackedForm:
    nodes = op.decompose(node)
    layer = 1 if op.takes_sign else 0
    value, constants, shortcut = nodes[layer].name, dict[str, FloatArray](), ""
    for count, part in enumerate(nodes[layer + 1 :]):
        taken = _constants(part)
        order = [PARTS.index(name) for name in (*constants, *taken)]
        if taken and order == sorted(set(order)):
            constants |= taken
        elif isinstance(part.op, Add) and isinstance(op.layer.op, BinaryConv2d):
            (shortcut,) = (name for name in part.inputs if name != value)
            return PackedForm(constants, shortcut, part.name, nodes[layer + 2 + count :])
        else:
            return PackedForm(constants, "", value, nodes[layer + 1 + count :])
        value = part.name
    return PackedForm(constants, shortcut, value, ())


def _reaches(op: object) -> bool:
    """Whether every window of a layer holds a pixel of its image."""
    if isinstance(op, BinaryLinear):
        return True
    assert isinstance(op, BinaryConv2d)
    reach = [(size - 1) * d for size, d in zip(op.weight.shape[2:], op.dilation, strict=True)]
    return all(pad <= most for pad, most in zip(op.padding, reach, strict=True))


def _constants(part: Node) -> dict[str, FloatArray]:
    if isinstance(part.op, PRelu):
        return {"slope": part.op.slope.reshape(-1)}
    found = {}
    if isinstance(part.op, Affine) and part.op.has_scale:
        found["scale"] = part.op.scale32.reshape(-1)
    if isinstance(part.op, Affine) and part.op.has_offset:
        found["offset"] = part.op.offset32.reshape(-1)
    return found


class BlockWriter:
    """Writes the blocks of a graph.

    Args:
        to: the model in the making.
        graph: with blocks.
    """

    def __init__(self, to: Emitter, graph: Graph) -> None:
        self._to, self._graph = to, graph
        self._forms = {
            node.name: form
            for node in graph.nodes_of(BinaryBlock)
            if isinstance(node.op, BinaryBlock) and (form := packed_form(graph, node, node.op)) is not None
        }
        self._packed: dict[str, str] = {}
        self._filled: dict[tuple[str, int], str] = {}
        self._standard_signs: set[str] = {node.name for node in graph}

    def write(self, node: Node, op: BinaryBlock) -> None:
        """A block, packed where it has such a form."""
        form = self._forms.get(node.name)
        if form is None:
            self._write_standard(node, op)
            return
        words = self._words(node.inputs[0], op.layer.op, form.more)
        outputs = [form.value if form.rest or self._is_read(node.name) else ""]
        if not form.rest and self._is_packed_later(node.name):
            self._packed[node.name] = self._to.fresh(f"{node.name}/packed")
            outputs.append(self._packed[node.name])
        self._binary_conv(op.layer, form, words, outputs)
        for part in form.rest:
            LOWERINGS[type(part.op)](self._to, part, part.op)

    def _write_standard(self, node: Node, op: BinaryBlock) -> None:
        for part in op.decompose(node):
            # Several layers may read one sign, and others beside them.
            if part.name == node.name or part.name not in self._standard_signs:
                LOWERINGS[type(part.op)](self._to, part, part.op)
                self._standard_signs.add(part.name)

    def _is_read(self, name: str) -> bool:
        """Whether anybody needs the values of a block, beside their signs."""
        return name in self._graph.outputs or any(
            reader.name not in self._forms or name in reader.inputs[1:] or not self._takes_words(reader)
            for reader in self._graph.consumers(name)
        )

    def _is_packed_later(self, name: str) -> bool:
        return any(
            reader.name in self._forms and reader.inputs[0] == name and self._takes_words(reader)
            for reader in self._graph.consumers(name)
        )

    def _takes_words(self, reader: Node) -> bool:
        """Whether a block reads the signs of a tensor as they are packed behind the layer that makes it."""
        return (
            isinstance(reader.op, BinaryBlock) and reader.op.takes_sign and not self._forms[reader.name].more
        )

    def _words(self, source: str, layer: object, more: int) -> str:
        """The packed signs of a tensor: of images, or of vectors as images of one pixel."""
        to = self._to
        if more:
            assert isinstance(layer, BinaryConv2d)
            key = (source, layer.groups)
            if key not in self._filled:
                self._filled[key] = to.fresh(f"{source}/packed_groups")
                emit(to, "PackSigns", [write_filled(to, source, layer.groups, more)], [self._filled[key]])
            return self._filled[key]
        if source in self._packed:
            return self._packed[source]
        name = self._packed[source] = to.fresh(f"{source}/packed")
        if len(to.graph.shape(source)) == 4:
            emit(to, "PackSigns", [source], [name])
            return name
        axes = constant(to, f"{name}/axes", np.array([1, 2], np.int64))
        rows = to.fresh(f"{name}/rows")
        emit(to, "PackSigns", [source], [rows])
        to.standard("Unsqueeze", [rows, axes], name)
        return name

    def _binary_conv(self, layer: Node, form: PackedForm, words: str, outputs: list[str]) -> None:
        """A dense layer is a convolution of one pixel."""
        to, op, value = self._to, layer.op, outputs[0]
        assert isinstance(op, BinaryConv2d | BinaryLinear)
        dense = isinstance(op, BinaryLinear)
        weight = op.weight.reshape(*op.weight.shape, 1, 1) if dense else filled_weight(op.weight, form.more)
        filters = pack(weight.transpose(0, 2, 3, 1) < 0).view(np.int32)
        inputs = [words, constant(to, f"{layer.name}/filter", filters)]
        for part in PARTS:
            values = form.constants.get(part)
            inputs.append("" if values is None else constant(to, f"{layer.name}/{part}", values))
        attributes: dict[str, Any] = {"channels": weight.shape[1]}
        if isinstance(op, BinaryConv2d):
            attributes = {
                "channels": weight.shape[1] * op.groups,
                "group": op.groups,
                "strides": op.stride,
                "dilations": op.dilation,
                "pads": list(op.padding) * 2,
                "pad_value": op.padding_value if any(op.padding) else 0,
            }
        elif value:
            outputs = [to.fresh(f"{value}/pixel"), *outputs[1:]]
        emit(to, "BinaryConv", [*inputs, form.shortcut], outputs, **attributes)
        if dense and value:
            axes = constant(to, f"{value}/axes", np.array([2, 3], np.int64))
            to.standard("Squeeze", [outputs[0], axes], value)
