"""A TFLite file in the prover's neutral form.

Source of operator codes and field numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fdabnn_deploy.prove.domain import Constants, Shape
from fdabnn_deploy.prove.geometry import Windows
from fdabnn_deploy.prove.operator import Operator
from fdabnn_deploy.prove.program import Program, Step
from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_tflite.prove.flexbuffer import integer_map
from fdabnn_tflite.runtime.builtin_operators import BUILTIN_OPERATORS
from fdabnn_tflite.runtime.flatbuffer import Table, root
from fdabnn_tflite.runtime.tflite_file import FLOAT32, IDENTIFIER, UINT8, parse_tflite

_TYPES: dict[int, type[np.generic]] = {
    0: np.float32, 2: np.int32, 4: np.int64, 6: np.bool_, 9: np.int8
}  # fmt: skip
_CUSTOM = 32
_ACTIVATIONS = {0: None, 1: (0.0, math.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
_SPATIAL = (1, 2)


def read_forms(content: bytes) -> Iterator[tuple[str, Program]]:
    """Reads a file, which runtimes run as it is; see `read_tflite`."""
    yield "", read_tflite(content)


def read_tflite(content: bytes) -> Program:
    """Reads a file; what has no neutral form becomes a step of kind `unknown`.

    Raises:
        DamagedError: the bytes are no sound TFLite file.
    """
    file = parse_tflite(content)
    model = root(content, IDENTIFIER)
    buffers = list(model.tables(4))
    graph = next(iter(model.tables(2)))
    constants = {}
    for i, tensor in enumerate(graph.tables(0)):
        stored = buffers[tensor.number(2, "<I")].octets(0)
        kind = _TYPES.get(file.tensors[i].type)
        if file.tensors[i].constant and kind is not None:
            constants[str(i)] = np.frombuffer(stored, dtype=kind).reshape(file.tensors[i].shape)
    codes = [_code(code) for code in model.tables(1)]
    shapes = {str(i): tensor.shape for i, tensor in enumerate(file.tensors)}
    types = {str(i): tensor.type for i, tensor in enumerate(file.tensors)}
    steps = []
    for table in graph.tables(3):
        operator = _Operator(table, codes[table.number(0, "<I")], constants, shapes, types)
        folded = (
            _dequantized(operator, constants, list(graph.tables(0))) if operator.op == "DEQUANTIZE" else None
        )
        if folded is None:
            steps.append(operator.step())
        else:
            constants[operator.outputs[0]] = folded
    return Program(
        {str(i): file.tensors[i].shape for i in file.inputs},
        constants,
        tuple(steps),
        tuple(str(i) for i in file.outputs),
        {str(i): tensor.name for i, tensor in enumerate(file.tensors)},
        frozenset(str(i) for i in file.inputs if file.tensors[i].type == UINT8),
    )


def _dequantized(
    operator: _Operator, constants: dict[str, Constants], tensors: list[Table]
) -> Constants | None:
    """The floats of a constant int8 with a zero point of 0, where no rounding makes them depend on a runtime."""
    if len(operator.inputs) != 1 or operator.inputs[0] not in constants:
        return None
    values = constants[operator.inputs[0]]
    quantization = tensors[int(operator.inputs[0])].table(4)
    if values.dtype != np.int8 or quantization is None or any(quantization.numbers(3, "<q")):
        return None
    scales = np.array(list(quantization.numbers(2, "<f")), np.float64)
    axis = quantization.number(6, "<i", 0)
    if scales.size != 1:
        if not 0 <= axis < values.ndim or values.shape[axis] != scales.size:
            return None
        scales = scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    floats = values * scales
    rounded = floats.astype(np.float32)
    return rounded if np.array_equal(rounded, floats) else None


def _code(code: Table) -> int | str:
    number = max(code.number(0, "<b"), code.number(3, "<i"))
    return code.string(1) if number == _CUSTOM else number


class _Operator(Operator):
    """One operator with its options and the constants it may read."""

    def __init__(
        self,
        table: Table,
        code: int | str,
        constants: dict[str, Constants],
        shapes: dict[str, Shape],
        types: dict[str, int],
    ) -> None:
        super().__init__(
            code if isinstance(code, str) else BUILTIN_OPERATORS.get(code, f"builtin {code}"),
            [str(i) if i >= 0 else "" for i in table.numbers(1, "<i")],
            [str(i) for i in table.numbers(2, "<i")],
            constants,
        )
        self._shapes = shapes
        self._types = types
        self.options = table.table(4)
        self.custom = table.octets(5)

    def reader(self) -> Callable[[_Operator], Step] | None:
        return _READERS.get(self.op)

    def number(self, field: int, default: int = 0, kind: str = "<i") -> int:
        return default if self.options is None else self.options.number(field, kind, default)

    def flag(self, field: int) -> bool:
        return bool(self.number(field, kind="<b"))

    def activation(self, field: int) -> tuple[float, float] | None:
        code = self.number(field, kind="<b")
        if code not in _ACTIVATIONS:
            raise UnprovedError(f"its fused activation {code} is not known")
        return _ACTIVATIONS[code]

    def shape(self, index: int) -> Shape:
        return self._shapes[self.inputs[index]]

    def type(self, index: int) -> int:
        return self._types[self.inputs[index]]

    def result_type(self) -> int:
        return self._types[self.outputs[0]]

    def integers(self, index: int) -> list[int]:
        return [int(i) for i in self.constant(index).reshape(-1)]

    def windows(self, kernel: tuple[int, int], dilation: tuple[int, int]) -> Windows:
        """Of an operator whose options begin with padding and strides."""
        stride = (self.number(2, 1), self.number(1, 1))
        same = self.number(0, kind="<b") == 0
        return Windows(_SPATIAL, kernel, stride, dilation, "SAME" if same else ((0, 0), (0, 0)))


def _conv(operator: _Operator) -> Step:
    weight = operator.constant(1)
    outputs, height, width, group_inputs = weight.shape
    taps = weight.transpose(0, 3, 1, 2).reshape(outputs, group_inputs, height * width)
    return _sliding(operator, taps, (height, width), operator.shape(0)[3] // group_inputs, 3)


def _depthwise(operator: _Operator) -> Step:
    weight = operator.constant(1)
    _, height, width, outputs = weight.shape
    taps = weight.transpose(3, 0, 1, 2).reshape(outputs, 1, height * width)
    return _sliding(operator, taps, (height, width), operator.shape(0)[3], 4)


def _sliding(
    operator: _Operator, weight: Constants, size: tuple[int, int], groups: int, activation: int
) -> Step:
    """A convolution; behind the option of its activation stand those of width's and height's dilation."""
    dilation = (operator.number(activation + 2, 1), operator.number(activation + 1, 1))
    return operator.make(
        "linear",
        operator.inputs[:1],
        operator.activation(activation),
        weight=weight,
        bias=operator.optional(2),
        groups=groups,
        axis=3,
        windows=operator.windows(size, dilation),
    )


def _dense(operator: _Operator) -> Step:
    if operator.number(1, kind="<b"):
        raise UnprovedError("its weights are shuffled")
    return operator.make(
        "dense",
        operator.inputs[:1],
        operator.activation(0),
        weight=operator.constant(1)[:, :, None],
        bias=operator.optional(2),
        keep=operator.flag(2),
    )


def _lce_conv(operator: _Operator) -> Step:
    options = integer_map(operator.custom)
    weight = operator.constant(1)
    outputs, height, width, words = weight.shape
    if weight.dtype != np.int32:
        raise UnprovedError("its weights are not packed")
    needed = (
        "channels_in",
        "padding",
        "pad_values",
        "stride_height",
        "stride_width",
        "fused_activation_function",
    )
    if not set(needed) <= options.keys() or options["fused_activation_function"] > 1:
        raise UnprovedError(f"its options {options} are not known")
    windows = Windows(
        _SPATIAL,
        (height, width),
        (options["stride_height"], options["stride_width"]),
        (options.get("dilation_height_factor", 1), options.get("dilation_width_factor", 1)),
        "SAME" if options["padding"] == 0 else ((0, 0), (0, 0)),
    )
    thresholds = operator.optional(4)
    return operator.make(
        "bconv",
        operator.inputs[:1],
        weight=weight.reshape(outputs, height * width, words),
        channels=options["channels_in"],
        groups=-(-options["channels_in"] // 32) // words if words else 1,
        windows=windows,
        zeros=options["padding"] == 0 and options["pad_values"] == 0,
        multiplier=operator.optional(2),
        bias=operator.optional(3),
        thresholds=thresholds,
        relu=options["fused_activation_function"] == 1,
    )


def _lce_pool(operator: _Operator) -> Step:
    options = integer_map(operator.custom)
    try:
        windows = Windows(
            _SPATIAL,
            (options["filter_height"], options["filter_width"]),
            (options["stride_height"], options["stride_width"]),
            (1, 1),
            "SAME" if options["padding"] == 0 else ((0, 0), (0, 0)),
        )
    except KeyError as error:
        raise UnprovedError(f"its option {error} is missing") from None
    return operator.make("maximum", windows=windows)


def _quantize(operator: _Operator) -> Step:
    if operator.type(0) != 0:
        raise UnprovedError(
            "it packs truth values: the sign is spelled as x > 0, not as the sign x < 0 that all runtimes share"
        )
    return operator.make("quantize")


def _dequantize(operator: _Operator) -> Step:
    return operator.make("dequantize")


def _plain(kind: str, activation: int | None = None) -> Callable[[_Operator], Step]:
    def read(operator: _Operator) -> Step:
        return operator.make(kind, None, None if activation is None else operator.activation(activation))

    return read


def _comparison(relation: str) -> Callable[[_Operator], Step]:
    return lambda operator: operator.make("compare", relation=relation)


def _clip(low: float, high: float) -> Callable[[_Operator], Step]:
    return lambda operator: operator.make("clip", low=low, high=high)


def _prelu(operator: _Operator) -> Step:
    return operator.make("prelu", operator.inputs[:1], slope=operator.constant(1))


def _leaky_relu(operator: _Operator) -> Step:
    (slope,) = struct.unpack("<f", struct.pack("<I", operator.number(0, kind="<I")))
    return operator.make("prelu", slope=np.array(slope, dtype=np.float32))


def _reduce(kind: str) -> Callable[[_Operator], Step]:
    return lambda operator: operator.make(
        kind, operator.inputs[:1], axes=operator.integers(1), keep=operator.flag(0)
    )


def _pool(kind: str) -> Callable[[_Operator], Step]:
    def read(operator: _Operator) -> Step:
        kernel = (operator.number(4, 1), operator.number(3, 1))
        attributes: dict[str, Any] = {"windows": operator.windows(kernel, (1, 1))}
        if kind == "average":
            attributes["count_padding"] = False
        return operator.make(kind, None, operator.activation(5), **attributes)

    return read


def _pad(operator: _Operator) -> Step:
    pairs = [(int(before), int(behind)) for before, behind in operator.constant(1)]
    value = operator.optional(2)
    return operator.make(
        "pad", operator.inputs[:1], pads=pairs, value=0.0 if value is None else float(value.reshape(-1)[0])
    )


def _strided_slice(operator: _Operator) -> Step:
    begins, ends, steps = (operator.integers(i) for i in (1, 2, 3))
    begin_mask, end_mask, *others = (operator.number(field) for field in range(5))
    if any(others):
        raise UnprovedError("its masks change dimensions")
    ranges = []
    for axis, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        ranges.append(
            (None if begin_mask >> axis & 1 else begin, None if end_mask >> axis & 1 else end, step)
        )
    return operator.make("slice_axes", operator.inputs[:1], axes=list(range(len(ranges))), ranges=ranges)


def _slice(operator: _Operator) -> Step:
    begins, sizes = operator.integers(1), operator.integers(2)
    ranges = [
        (begin, None if size < 0 else begin + size, 1) for begin, size in zip(begins, sizes, strict=True)
    ]
    return operator.make("slice_axes", operator.inputs[:1], axes=list(range(len(ranges))), ranges=ranges)


def _reshape(operator: _Operator) -> Step:
    if len(operator.inputs) > 1:
        target = operator.integers(1)
    else:
        target = list(operator.options.numbers(0, "<i")) if operator.options is not None else []
    return operator.make("reshape", operator.inputs[:1], target=target)


def _transpose(operator: _Operator) -> Step:
    return operator.make("transpose", operator.inputs[:1], order=operator.integers(1))


def _reverse(operator: _Operator) -> Step:
    return operator.make("reverse", operator.inputs[:1], axes=operator.integers(1))


def _gather(operator: _Operator) -> Step:
    if operator.number(1):
        raise UnprovedError("it gathers from the images of a batch one by one")
    return operator.make("gather", operator.inputs[:1], indices=operator.constant(1), axis=operator.number(0))


def _cast(operator: _Operator) -> Step:
    if operator.result_type() != FLOAT32:
        raise UnprovedError("it casts to something else than float32")
    return operator.make("cast")


def _depth_to_space(operator: _Operator) -> Step:
    return operator.make("depth_to_space", factor=operator.number(0), axis=3, neighbours=False)


def _resize_nearest(operator: _Operator) -> Step:
    if operator.flag(0) or operator.flag(1):
        raise UnprovedError("it does not take the neighbour floor(i / factor)")
    before, after = operator.shape(0)[1:3], operator.integers(1)
    factors = [new / old for new, old in zip(after, before, strict=True)]
    return operator.make("enlarge", operator.inputs[:1], axes=_SPATIAL, factors=factors)


def _concat(operator: _Operator) -> Step:
    return operator.make("concat", None, operator.activation(1), axis=operator.number(0))


_READERS: dict[str, Callable[[_Operator], Step]] = {
    "ADD": _plain("add", 0),
    "SUB": _plain("sub", 0),
    "MUL": _plain("mul", 0),
    "MAXIMUM": _plain("max"),
    "MINIMUM": _plain("min"),
    "NEG": _plain("neg"),
    "ROUND": _plain("round"),
    "RELU": _plain("relu"),
    "RELU6": _clip(0.0, 6.0),
    "RELU_N1_TO_1": _clip(-1.0, 1.0),
    "RELU_0_TO_1": _clip(0.0, 1.0),
    "PRELU": _prelu,
    "LEAKY_RELU": _leaky_relu,
    "LESS": _comparison("<"),
    "LESS_EQUAL": _comparison("<="),
    "GREATER": _comparison(">"),
    "GREATER_EQUAL": _comparison(">="),
    "SELECT": _plain("select"),
    "SELECT_V2": _plain("select"),
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "SUM": _reduce("sum"),
    "MEAN": _reduce("mean"),
    "AVERAGE_POOL_2D": _pool("average"),
    "MAX_POOL_2D": _pool("maximum"),
    "PAD": _pad,
    "PADV2": _pad,
    "STRIDED_SLICE": _strided_slice,
    "SLICE": _slice,
    "CONCATENATION": _concat,
    "RESHAPE": _reshape,
    "TRANSPOSE": _transpose,
    "REVERSE_V2": _reverse,
    "CAST": _cast,
    "GATHER": _gather,
    "DEPTH_TO_SPACE": _depth_to_space,
    "RESIZE_NEAREST_NEIGHBOR": _resize_nearest,
    "LceQuantize": _quantize,
    "LceDequantize": _dequantize,
    "LceBconv2d": _lce_conv,
    "LceBMaxPool2d": _lce_pool,
}
