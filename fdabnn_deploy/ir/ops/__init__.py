"""The operators of the graph, one family per file, each with its shape rule and its NumPy meaning."""

from fdabnn_deploy.ir.ops.base import BATCH, Array, FloatArray, GraphError, Op, Shape
from fdabnn_deploy.ir.ops.binary import BinaryConv2d, BinaryLinear, Sign
from fdabnn_deploy.ir.ops.captured import (
    BatchNorm,
    Compare,
    Constant,
    Div,
    Logical,
    LogicalNot,
    Opaque,
    ToFloat,
    TorchSign,
    TrainedConv2d,
    TrainedLinear,
    Unary,
    Where,
)
from fdabnn_deploy.ir.ops.conv import Conv2d, Linear
from fdabnn_deploy.ir.ops.grid import RoundToGrid, Saturate
from fdabnn_deploy.ir.ops.layout import Concat, Input, Pad, Permute, Reshape, Slice
from fdabnn_deploy.ir.ops.pointwise import Add, Affine, Clamp, Maximum, Mul, PRelu, Relu, Softmax, Sub
from fdabnn_deploy.ir.ops.pooling import AvgPool2d, GlobalAvgPool, GlobalSum, MaxPool2d

DEPLOYED: frozenset[type[Op]] = frozenset(
    {
        Input, Sign, BinaryConv2d, BinaryLinear, Conv2d, Linear, Affine, PRelu, Relu, Clamp, Add, Sub, Mul, Maximum, Softmax,
        MaxPool2d, AvgPool2d, GlobalAvgPool, GlobalSum, Saturate, RoundToGrid, Pad, Slice, Concat, Reshape, Permute,
    }
)  # fmt: skip
"""What a deployed graph may contain: every converter and runtime of a graph covers exactly these."""

__all__ = [
    "BATCH", "DEPLOYED", "Add", "Affine", "Array", "AvgPool2d", "BatchNorm", "BinaryConv2d", "BinaryLinear", "Clamp", "Compare",
    "Concat", "Constant", "Conv2d", "Div", "FloatArray", "GlobalAvgPool", "GlobalSum", "GraphError", "Input", "Linear", "Logical",
    "LogicalNot", "MaxPool2d", "Maximum", "Mul", "Op", "Opaque", "PRelu", "Pad", "Permute", "Relu", "Reshape", "RoundToGrid",
    "Saturate", "Shape", "Sign", "Slice", "Softmax", "Sub", "ToFloat", "TorchSign", "TrainedConv2d", "TrainedLinear", "Unary", "Where",
]  # fmt: skip
