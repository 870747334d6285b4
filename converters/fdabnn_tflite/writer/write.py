"""Writes a deployed graph as a TFLite file: lowers it, simplifies the function, and makes each operator one of the file's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.integer_weights import integer_weights
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Array, Input, Sign
from fdabnn_tflite.finish import ROLES, distinct, finished_bytes, tensor_map
from fdabnn_tflite.lower.table import lower_graph
from fdabnn_tflite.runtime.tensors import Layout
from fdabnn_tflite.runtime.tflite_file import FLOAT32, INT32, UINT8
from fdabnn_tflite.tensor_layout import Form, natural_form, stored_shape
from fdabnn_tflite.writer.binary import WORD, BinaryLayer, BinaryPlan
from fdabnn_tflite.writer.function import Op, Recorder, Value
from fdabnn_tflite.writer.options import SAME, VALID, file_operator
from fdabnn_tflite.writer.simplify import Function, simplify
from fdabnn_tflite.writer.tables import BOOL, Tables

_CHANNELS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
"""Layers with float weights, and the axis of these that is the output channels."""

_MOVES = frozenset({"RESHAPE", "REVERSE_V2"})
"""Operators that mirror images: of bytes they make bytes."""

WORTH_INTEGERS = 512
"""Bytes of weights from which on integers are less than the operator that makes floats of them."""


def write_flatbuffer(
    graph: Graph, flipped: bool, batch: int | None, info: ModelInfo, *, integers: bool = True
) -> tuple[bytes, Recorder]:
    """The file of a graph, and the function that it was lowered to.

    Args:
        graph: deployed, of standard operators.
        flipped: whether the network works on mirrored images.
        batch: the batch size, or None for a file with batch 1 that runtimes may resize.
        info: of the model, for its name and metadata.
        integers: whether weights that are integers of few bits are stored so.

    Raises:
        ModelRefusedError: an operator has no lowering, or a file cannot hold what the graph is lowered to.
    """
    recorder = Recorder(graph, flipped, batch or 1)
    arguments = tuple(
        recorder.argument(_stored(graph, name), pixels=_takes_pixels(graph, name)) for name in graph.inputs
    )
    results = _apart(recorder, lower_graph(recorder, arguments))
    function = Function(recorder.ops, results)
    simplify(function)
    writer = _Writer(function, recorder, Tables(resizable=batch is None), integers=integers)
    return writer.write(arguments, info), recorder


def _stored(graph: Graph, name: str) -> tuple[int, ...]:
    shape = graph.shape(name)
    return stored_shape(shape, natural_form(shape))


def _takes_pixels(graph: Graph, name: str) -> bool:
    op = graph[name].op
    return isinstance(op, Input) and op.pixels


def _apart(recorder: Recorder, results: list[Value]) -> list[Value]:
    """Results of which none is an input, or twice the same tensor."""
    found: list[Value] = []
    for value in results:
        if value.op.kind == "Input" or value in found:
            pads = np.zeros((len(value.shape), 2), np.int32)
            copy = Op("Pad", f"n{len(recorder.ops)}", [value, pads], {}, value.op.node)
            copy.result = Value(copy, value.shape)
            recorder.ops.append(copy)
            found.append(copy.result)
        else:
            found.append(value)
    return found


class _Writer:
    def __init__(self, function: Function, recorder: Recorder, tables: Tables, *, integers: bool) -> None:
        self._function, self._recorder, self._tables, self._integers = function, recorder, tables, integers
        self._plan = BinaryPlan(function)
        self._floats: dict[Value, int] = {}
        self._bits: dict[Value, int] = {}

    def write(self, arguments: tuple[Value, ...], info: ModelInfo) -> bytes:
        graph = self._recorder.graph
        for value, graph_name in zip(arguments, graph.inputs, strict=True):
            kind = UINT8 if value.op.attributes["pixels"] else FLOAT32
            self._floats[value] = self._tables.tensor(value.shape, kind, graph_name)
        for op in self._function.ops:
            if op.kind != "Input" and op.name not in self._plan.inside:
                self._write(op)
        inputs = [self._floats[value] for value in arguments]
        outputs = [self._floats[value] for value in self._function.outputs]
        places = self._places()
        self._name(inputs, outputs, places)
        model = self._tables.model(
            list(zip(distinct(graph.inputs), inputs, strict=True)),
            list(zip(distinct(graph.outputs), outputs, strict=True)),
        )
        tensors = tensor_map(model.subgraphs[0], self._recorder, places)
        return finished_bytes(model, self._tables.schema, info, graph, tensors)

    def _write(self, op: Op) -> None:
        if op.kind == "BinaryConv":
            self._binary_layer(self._plan.layers[op.name])
        elif op.kind == "Sign":
            self._sign(op)
        elif op.kind != "MaxPool" or not self._plan.is_bits(op.result):
            found = file_operator(op)
            self._builtin(op, found.name, found.inputs, found.options, found.values)

    def _builtin(
        self, op: Op, name: str, inputs: Sequence[Value | Array | None], options: str, values: dict[str, Any]
    ) -> None:
        roles = ROLES.get(name, ())
        indices = []
        for i, value in enumerate(inputs):
            if i == 1 and name in _CHANNELS and isinstance(value, np.ndarray):
                indices.append(self._weights(name, value, _owner(op)))
            else:
                indices.append(self._input(value, _owner(op), roles[i] if i < len(roles) else "constant"))
        kind = BOOL if name in {"LESS", "GREATER"} else FLOAT32
        if name in _MOVES and self._tables.type_of(indices[0]) == UINT8:
            kind = UINT8
        output = self._tables.tensor(op.result.shape, kind, f"{_owner(op)}/{name.lower()}")
        self._tables.builtin(name, indices, output, options, values)
        self._floats[op.result] = output

    def _weights(self, name: str, value: Array, owner: str) -> int:
        """Weights of a float layer: integers of 8 bits behind a `DEQUANTIZE`, where they are that."""
        axis = _CHANNELS[name]
        rows = np.moveaxis(value, axis, 0)
        found = integer_weights(rows, bits=8) if self._integers and value.nbytes >= WORTH_INTEGERS else None
        if found is None:
            return self._tables.constant(value, f"{owner}/weight")
        integers = np.ascontiguousarray(np.moveaxis(found.integers, 0, axis))
        return self._tables.dequantized(integers, found.scales, axis, f"{owner}/weight")

    def _input(self, value: Value | Array | None, owner: str, role: str) -> int:
        if value is None:
            return -1
        if isinstance(value, Value):
            return self._floats[value]
        return self._tables.constant(value, f"{owner}/{role}")

    def _sign(self, op: Op) -> None:
        """Bits for the binary layers that read it, -1 and +1 for everybody else."""
        (x,) = op.inputs
        assert isinstance(x, Value)
        owner, shape = _owner(op), op.result.shape
        if self._plan.is_read_as_bits(op):
            self._bits[op.result] = self._packed(x, op)
            if self._plan.is_read_as_floats(op):
                self._floats[op.result] = self._tables.tensor(shape, FLOAT32, f"{owner}/lcedequantize")
                self._tables.custom("LceDequantize", [self._bits[op.result]], self._floats[op.result], {})
            return
        less = self._tables.tensor(shape, BOOL, f"{owner}/less")
        zero, minus, plus = (
            self._tables.constant(np.array(number, np.float32), f"{owner}/constant") for number in (0, -1, 1)
        )
        self._tables.builtin("LESS", [self._floats[x], zero], less, "LessOptions")
        self._floats[op.result] = self._tables.tensor(shape, FLOAT32, f"{owner}/select_v2")
        self._tables.builtin("SELECT_V2", [less, minus, plus], self._floats[op.result], "SelectV2Options")

    def _packed(self, value: Value, sign: Op) -> int:
        """The signs of a tensor as bits."""
        if value in self._bits:
            return self._bits[value]
        shape = (*value.shape[:-1], -(-value.shape[-1] // WORD))
        pool = value.op
        if pool.kind == "MaxPool" and self._plan.is_bits(value):
            source = pool.inputs[0]
            assert isinstance(source, Value)
            before = self._packed(source, sign)
            index = self._tables.tensor(shape, INT32, f"{_owner(pool)}/lcebmaxpool2d")
            self._tables.custom("LceBMaxPool2d", [before], index, _pool_options(pool))
        else:
            index = self._tables.tensor(shape, INT32, f"{_owner(sign)}/lcequantize")
            self._tables.custom("LceQuantize", [self._floats[value]], index, {})
        self._bits[value] = index
        return index

    def _binary_layer(self, layer: BinaryLayer) -> None:
        op, owner = layer.op, _owner(layer.op)
        (signs,) = op.inputs
        assert isinstance(signs, Value)
        channels = layer.result.shape[-1]
        weight = self._tables.constant(layer.packed_weights(), f"{owner}/weight")
        inputs = [self._bits[signs], weight]
        options = _conv_options(layer, signs.shape[-1])
        if layer.packed:
            shape = (*layer.result.shape[:-1], -(-channels // WORD))
            index = self._tables.tensor(shape, INT32, f"{owner}/lcebconv2d")
            threshold = self._tables.constant(layer.thresholds(), f"{owner}/threshold")
            self._tables.custom("LceBconv2d", [*inputs, -1, -1, threshold], index, options)
            self._bits[layer.result] = index
            return
        scale, offset = (
            np.full(channels, default, np.float32) if values is None else values
            for values, default in ((layer.scale, 1), (layer.offset, 0))
        )
        inputs += [
            self._tables.constant(scale, f"{owner}/multiplier"),
            self._tables.constant(offset, f"{owner}/bias"),
            -1,
        ]
        index = self._tables.tensor(layer.result.shape, FLOAT32, f"{owner}/lcebconv2d")
        self._tables.custom("LceBconv2d", inputs, index, options)
        self._floats[layer.result] = index

    def _places(self) -> dict[str, tuple[int, Form]]:
        """Where the file has each tensor of the graph that it has, and in which form."""
        graph, places = self._recorder.graph, dict[str, tuple[int, Form]]()
        values = {op.name: op.result for op in self._function.ops}
        values |= {alias: value for value in list(values.values()) for alias in value.aliases}
        for op_name, named in self._recorder.places.items():
            value = values.get(op_name)
            for name, form in named if value is not None else ():
                if value in self._floats:
                    places[name] = (self._floats[value], _as_stored(form, value))
                elif value in self._bits and isinstance(graph[name].op, Sign):
                    places[name] = (self._bits[value], Form(Layout.PACKED, form.image))
        return places

    def _name(self, inputs: list[int], outputs: list[int], places: dict[str, tuple[int, Form]]) -> None:
        graph = self._recorder.graph
        known = [*zip(graph.inputs, inputs, strict=True), *zip(graph.outputs, outputs, strict=True)]
        known += [(name, index) for name, (index, _) in places.items()]
        names: dict[int, str] = {}
        for name, index in known:
            if name not in names.values():
                names.setdefault(index, name)
        owners = self._tables.owners
        self._tables.names[:] = distinct([names.get(index, owner) for index, owner in enumerate(owners)])


def _as_stored(form: Form, value: Value) -> Form:
    """The form of a tensor that may have kept the shape in front of a reshape that was moved."""
    if form.layout is Layout.FLAT and len(value.shape) == 4:
        return Form(Layout.PIXEL, form.image)
    return form


def _owner(op: Op) -> str:
    return "file" if op.node is None else op.node.name


def _conv_options(layer: BinaryLayer, channels: int) -> dict[str, int]:
    attributes = layer.op.attributes
    (height, width), (down, right) = attributes["stride"], attributes["dilation"]
    return {
        "channels_in": channels,
        "dilation_height_factor": down,
        "dilation_width_factor": right,
        "fused_activation_function": int(layer.relu),
        "pad_values": int(attributes["ones"]),
        "padding": SAME if attributes["same"] or attributes["ones"] else VALID,
        "stride_height": height,
        "stride_width": width,
    }


def _pool_options(pool: Op) -> dict[str, int]:
    (_, *kernel, _), (_, *stride, _) = pool.attributes["ksize"], pool.attributes["strides"]
    return {
        "filter_height": kernel[0],
        "filter_width": kernel[1],
        "padding": SAME if pool.attributes["padding"] == "SAME" else VALID,
        "stride_height": stride[0],
        "stride_width": stride[1],
    }
