"""TFLite files as networks of steps, and back."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError
from fdabnn_deploy.measure.baselines.float_network import Item, Network, network_of, record_of
from fdabnn_deploy.prove.domain import Constants, Shape
from fdabnn_deploy.prove.program import Step
from fdabnn_tflite.prove.tflite import read_tflite
from fdabnn_tflite.runtime.flatbuffer import root
from fdabnn_tflite.runtime.pack import pack_tflite
from fdabnn_tflite.runtime.tflite_file import FLOAT32, IDENTIFIER, INT32, parse_tflite

CHANNEL = 3
DESCRIPTION = "float baseline of a binary network, for comparing speed"
_DEPTHWISE = "DEPTHWISE_CONV_2D"
_LCE_POOL = "LceBMaxPool2d"


def read_network(content: bytes) -> Network:
    """The network of a file.

    Raises:
        DamagedError: the bytes are no sound TFLite file.
        ModelRefusedError: it has several subgraphs.
    """
    file = parse_tflite(content)
    subgraphs = sum(1 for _ in root(content, IDENTIFIER).tables(2))
    if subgraphs != 1:
        raise ModelRefusedError(f"it has {subgraphs} subgraphs; files with one are read")
    reads = [[str(i) if i >= 0 else "" for i in operator.inputs] for operator in file.operators]
    writes = [[str(i) for i in operator.outputs] for operator in file.operators]
    program = read_tflite(content)
    # An operator that makes a constant is no step: the constant stands for it.
    steps = [i for i, names in enumerate(writes) if not names or names[0] not in program.constants]
    network = network_of(program, reads, writes, CHANNEL, record_of(file.metadata), steps)
    for i, tensor in enumerate(file.tensors):
        if tensor.constant:
            # Of types that the prover has no use for; only whether they are constants matters here.
            network.constants.setdefault(str(i), np.zeros(0, dtype=np.uint8))
    return network


def write_network(network: Network, content: bytes) -> tuple[bytes, dict[str, Shape]]:
    """The file of a network, and the shapes of its tensors by name.

    Args:
        network: rewritten.
        content: the file that it was read from.

    Raises:
        ModelRefusedError: an operator that has no float form is left.
        RuntimeMissingError: LiteRT is not installed.
    """
    return _Writer(network, content).file()


class _Writer:
    def __init__(self, network: Network, content: bytes) -> None:
        try:
            self._schema: Any = importlib.import_module("ai_edge_litert.schema_py_generated")
        except ModuleNotFoundError:
            raise RuntimeMissingError("LiteRT is not installed: pip install ai-edge-litert") from None
        self._network = network
        self._model = self._schema.ModelT.InitFromPackedBuf(content, 0)
        self._old = self._model.subgraphs[0]
        self._buffers: list[Any] = [self._schema.BufferT()]
        self._tensors: list[Any] = []
        self._places: dict[str, int] = {}
        self._codes: list[Any] = []
        self._channels: dict[str, int] = {}

    def file(self) -> tuple[bytes, dict[str, Shape]]:
        network, graph = self._network, self._schema.SubGraphT()
        graph.name = "main"
        graph.inputs = [self._tensor(name) for name in network.inputs]
        graph.operators = [self._operator(item) for item in network.items]
        graph.outputs = [self._tensor(network.resolve(name)) for name in network.outputs]
        graph.tensors = self._tensors
        signatures = self._model.signatureDefs or []
        for signature in signatures:
            for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
                entry.tensorIndex = self._tensor(network.resolve(str(entry.tensorIndex)))
        model = self._schema.ModelT()
        model.version, model.description = self._model.version, DESCRIPTION
        model.operatorCodes, model.subgraphs, model.buffers = self._codes, [graph], self._buffers
        model.signatureDefs = signatures or None
        shapes = {
            network.label(name): tuple(map(int, self._tensors[place].shape))
            for name, place in self._places.items()
            if self._tensors[place].shape is not None
        }
        return pack_tflite(model, self._schema), shapes

    def _tensor(self, name: str) -> int:
        """The index of a tensor, which is taken over from the file at its first use."""
        if name not in self._places:
            tensor = self._old.tensors[int(name)]
            if name in self._network.constants and not tensor.buffer:
                # An operator of the file made it of a constant: it becomes a constant itself.
                floats = np.ascontiguousarray(self._network.constants[name], np.float32)
                tensor.buffer = self._buffer(np.frombuffer(floats.tobytes(), np.uint8))
            elif tensor.buffer:
                tensor.buffer = self._buffer(self._model.buffers[tensor.buffer].data)
            if name in self._channels:
                # It held packed signs.
                tensor.type = FLOAT32
                tensor.shape = np.array([*tensor.shape[:-1], self._channels[name]], dtype=np.int32)
                if tensor.shapeSignature is not None:
                    tensor.shapeSignature = np.array([*tensor.shapeSignature[:-1], self._channels[name]])
            self._append(name, tensor)
        return self._places[name]

    def _append(self, name: str, tensor: Any) -> int:
        self._places[name] = len(self._tensors)
        self._tensors.append(tensor)
        return self._places[name]

    def _buffer(self, data: Any) -> int:
        if data is None or not len(data):
            return 0
        buffer = self._schema.BufferT()
        buffer.data = np.asarray(data, dtype=np.uint8)
        self._buffers.append(buffer)
        return len(self._buffers) - 1

    def _constant(self, name: str, values: Constants) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape = name, np.array(values.shape, dtype=np.int32)
        tensor.type = INT32 if values.dtype == np.int32 else FLOAT32
        tensor.buffer = self._buffer(np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8))
        return self._append(name, tensor)

    def _code(self, name: str) -> int:
        number = getattr(self._schema.BuiltinOperator, name)
        for place, code in enumerate(self._codes):
            if code.builtinCode == number:
                return place
        code = self._schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
        self._codes.append(code)
        return len(self._codes) - 1

    def _operator(self, item: Item) -> Any:
        step = item.step
        operator = self._schema.OperatorT()
        made: dict[str, Any] = {
            "linear": self._layer,
            "dense": self._dense,
            "add": self._addition,
            "mul": self._product,
        }
        if item.origin is None:
            made[step.kind](operator, step)
        elif step.op == _LCE_POOL:
            self._pool(operator, step)
        else:
            return self._kept(self._old.operators[item.origin], step)
        operator.outputs = [self._tensor(step.output)]
        return operator

    def _kept(self, operator: Any, step: Step) -> Any:
        """An operator as it was, with what now stands for its inputs."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        if code.customCode is not None:
            raise ModelRefusedError(f"its operator {step.op} has no float form")
        self._codes_of_file(operator, code)
        operator.inputs = [
            -1 if i < 0 else self._tensor(self._network.resolve(str(i))) for i in map(int, operator.inputs)
        ]
        operator.outputs = [self._tensor(str(i)) for i in map(int, operator.outputs)]
        return operator

    def _codes_of_file(self, operator: Any, code: Any) -> None:
        for place, known in enumerate(self._codes):
            if known is code:
                operator.opcodeIndex = place
                return
        self._codes.append(code)
        operator.opcodeIndex = len(self._codes) - 1

    def _inputs(self, step: Step) -> list[int]:
        return [self._input(self._network.resolve(name)) for name in step.inputs]

    def _input(self, name: str) -> int:
        # Tensors of the file are known by number, constants that rules made by name.
        if name in self._places or name.isdecimal():
            return self._tensor(name)
        return self._constant(name, self._network.constants[name])

    def _parameters(self, step: Step, weight: Constants) -> list[int]:
        label = self._network.label(step.output)
        bias = step.attributes["bias"]
        zeros = np.zeros(len(step.attributes["weight"]), dtype=np.float32)
        return [
            *self._inputs(step),
            self._constant(f"{label}/weight", weight),
            self._constant(f"{label}/bias", zeros if bias is None else np.asarray(bias, dtype=np.float32)),
        ]

    def _layer(self, operator: Any, step: Step) -> None:
        given = step.attributes
        windows, weight = given["windows"], given["weight"]
        outputs, depth, _ = weight.shape
        self._channels[step.output] = outputs
        depthwise = step.op == _DEPTHWISE
        stored = weight.reshape(outputs, depth, *windows.kernel)
        stored = stored.transpose(1, 2, 3, 0) if depthwise else stored.transpose(0, 2, 3, 1)
        options = self._schema.DepthwiseConv2DOptionsT() if depthwise else self._schema.Conv2DOptionsT()
        if depthwise:
            options.depthMultiplier = outputs // given["groups"]
        options.padding = self._padding(windows)
        options.strideH, options.strideW = windows.stride
        options.dilationHFactor, options.dilationWFactor = windows.dilation
        options.fusedActivationFunction = self._activation(step)
        operator.opcodeIndex = self._code(_DEPTHWISE if depthwise else "CONV_2D")
        operator.inputs = self._parameters(step, stored)
        self._options(operator, "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions", options)

    def _dense(self, operator: Any, step: Step) -> None:
        options = self._schema.FullyConnectedOptionsT()
        options.keepNumDims = bool(step.attributes["keep"])
        options.fusedActivationFunction = self._activation(step)
        operator.opcodeIndex = self._code("FULLY_CONNECTED")
        operator.inputs = self._parameters(step, step.attributes["weight"][:, :, 0])
        self._options(operator, "FullyConnectedOptions", options)

    def _addition(self, operator: Any, step: Step) -> None:
        options = self._schema.AddOptionsT()
        options.fusedActivationFunction = self._activation(step)
        operator.opcodeIndex, operator.inputs = self._code("ADD"), self._inputs(step)
        self._options(operator, "AddOptions", options)

    def _product(self, operator: Any, step: Step) -> None:
        options = self._schema.MulOptionsT()
        options.fusedActivationFunction = self._activation(step)
        operator.opcodeIndex, operator.inputs = self._code("MUL"), self._inputs(step)
        self._options(operator, "MulOptions", options)

    def _pool(self, operator: Any, step: Step) -> None:
        """A max-pool of packed signs, of floats now."""
        windows, source = step.attributes["windows"], self._network.resolve(step.inputs[0])
        options = self._schema.Pool2DOptionsT()
        options.padding = self._padding(windows)
        options.strideH, options.strideW = windows.stride
        options.filterHeight, options.filterWidth = windows.kernel
        operator.opcodeIndex, operator.inputs = self._code("MAX_POOL_2D"), [self._tensor(source)]
        self._channels[step.output] = int(self._tensors[self._places[source]].shape[-1])
        self._options(operator, "Pool2DOptions", options)

    def _options(self, operator: Any, name: str, options: Any) -> None:
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, name)
        operator.builtinOptions = options

    def _padding(self, windows: Any) -> int:
        same: int = self._schema.Padding.SAME if windows.pads == "SAME" else self._schema.Padding.VALID
        return same

    def _activation(self, step: Step) -> int:
        kinds = self._schema.ActivationFunctionType
        known = {
            None: kinds.NONE,
            (0.0, math.inf): kinds.RELU,
            (0.0, 6.0): kinds.RELU6,
            (-1.0, 1.0): kinds.RELU_N1_TO_1,
        }
        assert step.activation is None or isinstance(step.activation, tuple)
        return int(known[step.activation])
