"""The operators of TFLite for those of a function: name, inputs, options.

Source: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3, and for LCE's operators the flexbuffers that its kernels read
(Larq Compute Engine 0.16.0).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fdabnn_deploy.ir.ops import Array
from fdabnn_tflite.runtime.tflite_file import FLOAT32, UINT8
from fdabnn_tflite.writer.function import Op, Value
from fdabnn_tflite.writer.simplify import LAYERS

SAME, VALID = 0, 1


@dataclass(frozen=True)
class FileOperator:
    """A builtin operator of the file.

    Attributes:
        name: in TFLite's schema.
        inputs: tensors and constants, None for one that is left out.
        options: the name of its table of options in the schema, or nothing.
        values: of that table.
    """

    name: str
    inputs: Sequence[Value | Array | None]
    options: str = ""
    values: dict[str, Any] = field(default_factory=dict)


def file_operator(op: Op) -> FileOperator:
    """The builtin operator and its options in the file for an operator of a function."""
    if op.kind in _PLAIN:
        name, options = _PLAIN[op.kind]
        activation = {"fusedActivationFunction": _activation(op)} if op.kind in _WITH_ACTIVATION else {}
        return FileOperator(name, op.inputs, options, activation)
    return _RULES[op.kind](op)


_PLAIN = {
    "AddV2": ("ADD", "AddOptions"),
    "Sub": ("SUB", "SubOptions"),
    "Mul": ("MUL", "MulOptions"),
    "Maximum": ("MAXIMUM", "MaximumMinimumOptions"),
    "Minimum": ("MINIMUM", "MaximumMinimumOptions"),
    "Less": ("LESS", "LessOptions"),
    "Greater": ("GREATER", "GreaterOptions"),
    "SelectV2": ("SELECT_V2", "SelectV2Options"),
    "Relu": ("RELU", ""),
    "Relu6": ("RELU6", ""),
    "ReluN1To1": ("RELU_N1_TO_1", ""),
    "Round": ("ROUND", ""),
    "LogSoftmax": ("LOG_SOFTMAX", "LogSoftmaxOptions"),
    "Pad": ("PAD", "PadOptions"),
    "PadV2": ("PADV2", "PadV2Options"),
    "Reshape": ("RESHAPE", "ReshapeOptions"),
    "ResizeNearestNeighbor": ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    "ReverseV2": ("REVERSE_V2", "ReverseV2Options"),
    "Transpose": ("TRANSPOSE", "TransposeOptions"),
}
_WITH_ACTIVATION = frozenset({"AddV2", "Sub", "Mul"})


def _activation(op: Op) -> int:
    return int(op.attributes.get("activation", 0))


def _layer_inputs(op: Op, weights: Array) -> list[Value | Array]:
    """Operand, weights and bias of a convolution: XNNPACK takes none without one."""
    outputs = op.result.shape[-1]
    bias = op.inputs[2] if len(op.inputs) > 2 else np.zeros(outputs, np.float32)
    return [op.inputs[0], np.ascontiguousarray(weights), bias]


def _weights(op: Op) -> Array:
    assert op.kind in LAYERS
    weights = op.inputs[1]
    assert not isinstance(weights, Value)
    return weights


def _sliding(op: Op) -> dict[str, Any]:
    (_, *stride, _), (_, *dilation, _) = op.attributes["strides"], op.attributes["dilations"]
    return {
        "padding": SAME if op.attributes["padding"] == "SAME" else VALID,
        "strideH": stride[0],
        "strideW": stride[1],
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
        "fusedActivationFunction": _activation(op),
    }


def _conv(op: Op) -> FileOperator:
    inputs = _layer_inputs(op, _weights(op).transpose(3, 0, 1, 2))
    return FileOperator("CONV_2D", inputs, "Conv2DOptions", _sliding(op))


def _depthwise(op: Op) -> FileOperator:
    height, width, channels, multiplier = _weights(op).shape
    inputs = _layer_inputs(op, _weights(op).reshape(1, height, width, channels * multiplier))
    values = {**_sliding(op), "depthMultiplier": multiplier}
    return FileOperator("DEPTHWISE_CONV_2D", inputs, "DepthwiseConv2DOptions", values)


def _dense(op: Op) -> FileOperator:
    bias = op.inputs[2] if len(op.inputs) > 2 else None
    inputs = [op.inputs[0], np.ascontiguousarray(_weights(op).T), bias]
    values = {"fusedActivationFunction": _activation(op)}
    return FileOperator("FULLY_CONNECTED", inputs, "FullyConnectedOptions", values)


def _pool(op: Op) -> FileOperator:
    (_, *kernel, _), (_, *stride, _) = op.attributes["ksize"], op.attributes["strides"]
    values = {
        "padding": SAME if op.attributes["padding"] == "SAME" else VALID,
        "strideH": stride[0],
        "strideW": stride[1],
        "filterHeight": kernel[0],
        "filterWidth": kernel[1],
        "fusedActivationFunction": _activation(op),
    }
    name = "MAX_POOL_2D" if op.kind == "MaxPool" else "AVERAGE_POOL_2D"
    return FileOperator(name, op.inputs, "Pool2DOptions", values)


def _reduce(op: Op) -> FileOperator:
    values = {"keepDims": bool(op.attributes["keep_dims"])}
    return FileOperator("MEAN" if op.kind == "Mean" else "SUM", op.inputs, "ReducerOptions", values)


def _prelu(op: Op) -> FileOperator:
    x, slope = op.inputs
    assert isinstance(x, Value)
    shaped = (
        slope
        if isinstance(slope, Value)
        else slope.reshape((1,) * (len(x.shape) - 1 - slope.ndim) + slope.shape)
    )
    return FileOperator("PRELU", [x, shaped])


_RULES: dict[str, Callable[[Op], FileOperator]] = {
    "AvgPool": _pool,
    "ConcatV2": lambda op: FileOperator(
        "CONCATENATION",
        op.inputs,
        "ConcatenationOptions",
        {"axis": op.attributes["axis"]},
    ),
    "Cast": lambda op: FileOperator(
        "CAST", op.inputs, "CastOptions", {"inDataType": UINT8, "outDataType": FLOAT32}
    ),
    "Conv2D": _conv,
    "DepthToSpace": lambda op: FileOperator(
        "DEPTH_TO_SPACE", op.inputs, "DepthToSpaceOptions", {"blockSize": op.attributes["block_size"]}
    ),
    "DepthwiseConv2dNative": _depthwise,
    "GatherV2": lambda op: FileOperator(
        "GATHER", op.inputs, "GatherOptions", {"axis": int(op.attributes["axis"]), "batchDims": 0}
    ),
    "LeakyRelu": lambda op: FileOperator(
        "LEAKY_RELU", op.inputs, "LeakyReluOptions", {"alpha": op.attributes["alpha"]}
    ),
    "MatMul": _dense,
    "MaxPool": _pool,
    "Mean": _reduce,
    "PRelu": _prelu,
    "Softmax": lambda op: FileOperator("SOFTMAX", op.inputs, "SoftmaxOptions", {"beta": 1.0}),
    "StridedSlice": lambda op: FileOperator(
        "STRIDED_SLICE", op.inputs, "StridedSliceOptions", {"beginMask": 1, "endMask": 1}
    ),
    "Sum": _reduce,
}
