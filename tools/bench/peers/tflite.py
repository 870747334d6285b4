"""The same convolution as CONV_2D of TensorFlow Lite, in float32 and in int8, on LiteRT with XNNPACK."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from bench.layers import Problem
from bench.measure import Array, Contender
from fdabnn_deploy.measure.timer import looped
from fdabnn_tflite.runtime.native_stderr import native_stderr

_TYPES = {"float32": "FLOAT32", "int8": "INT8", "int32": "INT32"}


def contenders(problem: Problem) -> list[Contender]:
    """XNNPACK in float32 and in int8, one thread."""
    signs = problem.signs
    ones = np.ones(problem.layer.channels, np.float32)
    scaled = problem.filters * problem.multiplier[:, None, None, None]
    real = Session(conv_file(problem, signs, scaled, problem.bias, problem.expected_float), signs)
    integers = signs.astype(np.int8)
    whole = Session(
        conv_file(
            problem,
            *(integers, problem.filters.astype(np.int8), (0 * ones).astype(np.int32), problem.expected_int8),
        ),
        integers,
    )
    return [
        Contender("XNNPACK fp32", "fp32", looped(real.run), real.output, problem.expected_float),
        Contender("XNNPACK int8", "int8", looped(whole.run), whole.output, problem.expected_int8),
    ]


class Session:
    """A file with one input on LiteRT."""

    def __init__(self, model: bytes, values: Array) -> None:
        package = importlib.import_module("ai_edge_litert.interpreter")
        with native_stderr():
            self._interpreter = package.Interpreter(model_content=model, num_threads=1)
            self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], values)
        self._output = self._interpreter.get_output_details()[0]["index"]
        self.run = self._interpreter.invoke

    def output(self) -> Array:
        """The outputs of the last run."""
        values: Array = self._interpreter.get_tensor(self._output)
        return values


def conv_file(problem: Problem, values: Array, filters: Array, bias: Array, output: Array) -> bytes:
    """A file with one CONV_2D; integer tensors have scale 1 and zero point 0."""
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.name = "main"
    graph.tensors = [
        _tensor(schema, model, "input", values, constant=False),
        _tensor(schema, model, "filters", filters, constant=True),
        _tensor(schema, model, "bias", bias, constant=True),
        _tensor(schema, model, "output", output, constant=False),
    ]
    graph.inputs, graph.outputs = [0], [3]
    options = schema.Conv2DOptionsT()
    options.padding = schema.Padding.SAME
    options.strideH = options.strideW = problem.layer.stride
    options.dilationHFactor = options.dilationWFactor = 1
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, 1, 2], [3]
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.Conv2DOptions, options
    graph.operators = [operator]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    # Per-channel int8 filters.
    code.version = 3 if values.dtype == np.int8 else 1
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = importlib.import_module("flatbuffers").Builder(filters.nbytes + 4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(schema: Any, model: Any, name: str, values: Array, *, constant: bool) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.shape = name, list(values.shape)
    tensor.type = getattr(schema.TensorType, _TYPES[str(values.dtype)])
    if constant:
        tensor.buffer = len(model.buffers)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        model.buffers.append(buffer)
    if values.dtype != np.float32:
        count = len(values) if constant else 1
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [1.0] * count, [0] * count
    return tensor
