"""Packs a model of standard operators: its binary layers become the operators of the domain `fdabnn` (docs/custom-ops.md).

A binary layer is a sign, perhaps padded with 1, a `Conv` or `Gemm` with weights of +-1, and as much of `PRelu`, `Mul`, `Add` and a
shortcut as follows it and nobody else reads. All of it becomes one `BinaryConv`; the next sign is one of its outputs, any other sign a
`PackSigns`. No number changes: the formula of `BinaryConv` has the same roundings in the same order. What does not fit stays as it is.
Float layers of exact numerics are packed, too: see `pack_difference` and `pack_digits`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from fdabnn_deploy.exact.record import Numerics
from fdabnn_onnx.metadata import read_metadata
from fdabnn_onnx.model_index import ModelIndex
from fdabnn_onnx.op_counts import is_one_bit
from fdabnn_onnx.pack_difference import pack_differences
from fdabnn_onnx.pack_digits import pack_digits

DOMAIN = "fdabnn"
VERSION = 1
WORD = 32

Array = NDArray[Any]


@dataclass
class _Layer:
    """A `BinaryConv` in the making.

    Attributes:
        conv: the `Conv` or `Gemm`.
        sign: the tensor of +1 and -1 that it reads, before any padding.
        pads: of ONNX, with those of a `Pad` in front.
        pad_value: what they count.
        nodes: that it replaces, from the convolution on.
        constants: its further inputs by name, one value per channel.
        residual: the tensor added last.
    """

    conv: NodeProto
    sign: str
    pads: list[int]
    pad_value: int
    nodes: list[NodeProto]
    constants: dict[str, Array] = field(default_factory=dict)
    residual: str = ""

    @property
    def value(self) -> str:
        """The float tensor that it makes."""
        return str(self.nodes[-1].output[0])


class _Packer(ModelIndex):
    def __init__(self, model: ModelProto) -> None:
        super().__init__(model)
        values = (*model.graph.input, *model.graph.value_info, *model.graph.output)
        self.shapes = {
            value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in values
        }
        self.added: list[TensorProto] = []

    def constant(self, name: str) -> Array | None:
        tensor = self.constants.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor)

    def signed(self, name: str) -> str | None:
        """The tensor whose sign a tensor is."""
        choice = self.makers.get(name)
        if choice is None or choice.op_type != "Where":
            return None
        less = self.makers.get(choice.input[0])
        if less is None or less.op_type != "Less":
            return None
        values = [self.constant(tensor) for tensor in (less.input[1], *choice.input[1:])]
        wanted = (0, -1, 1)
        fits = all(
            v is not None and v.size == 1 and v.item() == w for v, w in zip(values, wanted, strict=True)
        )
        return str(less.input[0]) if fits else None

    def layer(self, conv: NodeProto) -> _Layer | None:
        """The layer that begins with a 1-bit operator, None where it stays as it is."""
        if not is_one_bit(conv, self.makers, self.constants):
            return None
        attributes = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
        sign, pads, pad_value = str(conv.input[0]), [0, 0, 0, 0], 0
        if conv.op_type == "Conv":
            pads = list(attributes["pads"])
            pad = self.makers.get(sign)
            if pad is not None and pad.op_type == "Pad" and not any(pads):
                amounts = self.constant(pad.input[1])
                assert amounts is not None
                sign, pad_value = str(pad.input[0]), 1
                pads = [int(amounts[i]) for i in (2, 3, 6, 7)]
            weight = self.constants[conv.input[1]].dims
            reach = [(size - 1) * d for size, d in zip(weight[2:], attributes["dilations"], strict=True)]
            if any(pad > most for pad, most in zip(pads, reach * 2, strict=True)):
                return None
            if attributes["group"] > 1 and weight[1] % WORD:
                return None
        elif conv.op_type != "Gemm" or attributes != {"transB": 1}:
            return None
        found = _Layer(conv, sign, pads, pad_value, [conv])
        self._follow(found)
        return found

    def _follow(self, layer: _Layer) -> None:
        """Takes in what follows, as long as nobody else reads what is between."""
        steps = [("PRelu", "slope"), ("Mul", "scale"), ("Add", "offset")]
        channels = self.constants[layer.conv.input[1]].dims[0]
        while True:
            name = layer.value
            if not self.inner(name):
                return
            reader = self.readers[name][0]
            for i, (op_type, part) in enumerate(steps):
                value = self.constant(reader.input[1]) if len(reader.input) == 2 else None
                if reader.op_type == op_type and reader.input[0] == name and value is not None:
                    if value.size not in (1, channels):
                        return
                    layer.constants[part] = value.reshape(-1)
                    layer.nodes.append(reader)
                    steps = steps[i + 1 :]
                    break
            else:
                others = [other for other in reader.input if other != name]
                if reader.op_type != "Add" or len(others) != 1 or layer.conv.op_type != "Conv":
                    return
                # One shape for both: a shortcut that would have to be repeated stays outside.
                if others[0] in self.constants or self.shapes[others[0]] != self.shapes[reader.output[0]]:
                    return
                layer.residual = str(others[0])
                layer.nodes.append(reader)
                return

    def add(self, name: str, value: Array) -> str:
        self.added.append(numpy_helper.from_array(value, name))
        return name

    def emit(self, layer: _Layer, packed: str, outputs: list[str]) -> list[NodeProto]:
        """The nodes of a layer: a dense one is a convolution of one pixel."""
        weight = self.constant(layer.conv.input[1])
        assert weight is not None
        attributes = {a.name: helper.get_attribute_value(a) for a in layer.conv.attribute}
        dense = layer.conv.op_type == "Gemm"
        groups = 1 if dense else attributes["group"]
        filters = weight.reshape(*weight.shape, 1, 1) if dense else weight
        name = layer.conv.output[0]
        inputs = [packed, self.add(f"{name}/filter", pack_signs(filters.transpose(0, 2, 3, 1) < 0))]
        for part in ("slope", "scale", "offset"):
            per_channel = layer.constants.get(part)
            inputs.append("" if per_channel is None else self.add(f"{name}/{part}", per_channel))
        inputs.append(layer.residual)
        while not inputs[-1]:
            inputs.pop()
        further: dict[str, Any] = {"channels": filters.shape[1] * groups}
        if not dense:
            further |= {
                "group": groups,
                "strides": attributes["strides"],
                "dilations": attributes["dilations"],
                "pads": layer.pads,
                "pad_value": layer.pad_value,
            }
        nodes = []
        value = outputs[0]
        if dense and value:
            outputs = [f"{value}/pixel", *outputs[1:]]
        node_name = outputs[0] or outputs[1]
        nodes.append(
            helper.make_node("BinaryConv", inputs, outputs, name=node_name, domain=DOMAIN, **further)
        )
        if dense and value:
            axes = self.add(f"{value}/axes", np.array([2, 3], np.int64))
            nodes.append(helper.make_node("Squeeze", [outputs[0], axes], [value], name=value))
        return nodes


def pack_signs(bits: NDArray[np.bool_]) -> NDArray[np.int32]:
    """[..., channels] -> words [..., ceil(channels / 32)]; see docs/ops/pack-signs.md."""
    channels = bits.shape[-1]
    filled = np.zeros((*bits.shape[:-1], -(-channels // WORD) * WORD), np.uint8)
    filled[..., :channels] = bits
    return np.packbits(filled, axis=-1, bitorder="little").view("<i4").astype(np.int32)


def is_packed(model: ModelProto) -> bool:
    """Whether a model has operators of the domain."""
    return any(node.domain == DOMAIN for node in model.graph.node)


def pack_model(model: ModelProto) -> ModelProto:
    """The model with packed binary layers.

    Args:
        model: of `fdabnn_onnx.build_model.build_model`.

    Returns:
        A model of the same inputs and outputs; float tensors between layers keep their names.
    """
    numerics = read_metadata(model).get("numerics", "")
    if numerics and Numerics.from_text(numerics).mode == "exact":
        model = pack_digits(pack_differences(model, DOMAIN), DOMAIN)
    packer = _Packer(model)
    layers = [layer for node in model.graph.node if (layer := packer.layer(node)) is not None]
    ends = {layer.nodes[-1].name: layer for layer in layers}
    by_value = {layer.value: layer for layer in layers}
    inside = {node.name for layer in layers for node in layer.nodes}
    starts = {layer.conv.name for layer in layers}
    # A sign is packed where a layer reads it, and remains where anybody else does.
    packed_signs = dict.fromkeys(layer.sign for layer in layers)
    dropped: set[str] = set()
    for sign in packed_signs:
        pads = [node for node in packer.readers[sign] if node.op_type == "Pad"]
        unread = [pad for pad in pads if all(r.name in starts for r in packer.readers[pad.output[0]])]
        dropped |= {pad.name for pad in unread}
        if (
            packer.signed(sign)
            and sign not in packer.outputs
            and all(node.name in starts or node.name in dropped for node in packer.readers[sign])
        ):
            dropped |= {packer.makers[sign].name, packer.makers[packer.makers[sign].input[0]].name}
    # Signs that were moved before a layer reads them are packed as they are.
    sources = {sign: packer.signed(sign) or sign for sign in packed_signs}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if (layer := ends.get(node.name)) is not None:
            wanted = [sign for sign, source in sources.items() if source == layer.value]
            read = any(
                reader.name not in dropped or reader.op_type != "Less"
                for reader in packer.readers[layer.value]
            )
            value = layer.value if read or layer.value in packer.outputs else ""
            nodes += packer.emit(
                layer, _packed(sources[layer.sign]), [value, *([_packed(layer.value)] if wanted else [])]
            )
        if node.name not in dropped and node.name not in inside:
            nodes.append(node)
        if node.output[0] in packed_signs and sources[node.output[0]] not in by_value:
            nodes += _pack_sign(packer, sources[node.output[0]])
    return _finish(model, packer, nodes)


def _packed(source: str) -> str:
    return f"{source}/packed"


def _pack_sign(packer: _Packer, source: str) -> list[NodeProto]:
    """Signs of images, or of vectors as images of one pixel."""
    name = _packed(source)
    if len(packer.shapes[source]) == 4:
        return [helper.make_node("PackSigns", [source], [name], name=name, domain=DOMAIN)]
    axes = packer.add(f"{name}/axes", np.array([1, 2], np.int64))
    return [
        helper.make_node("PackSigns", [source], [f"{name}/rows"], name=f"{name}/rows", domain=DOMAIN),
        helper.make_node("Unsqueeze", [f"{name}/rows", axes], [name], name=name),
    ]


def _finish(model: ModelProto, packer: _Packer, nodes: list[NodeProto]) -> ModelProto:
    """The model of these nodes, without what none of them uses."""
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    used = {name for node in nodes for name in node.input}
    made = {name for node in nodes for name in node.output}
    kept = [tensor for tensor in (*model.graph.initializer, *packer.added) if tensor.name in used]
    infos = [value for value in model.graph.value_info if value.name in made]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(kept)
    graph.value_info.extend(infos)
    result.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    return result
