"""The operators of the graph, one family per file, each with its shape rule and its NumPy meaning."""

from fdabnn_deploy.ir.array_types import Array, FloatArray, Shape
from fdabnn_deploy.ir.ops.base import BATCH, REGISTRY, GraphError, Mover, Op, Registered
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
from fdabnn_deploy.ir.ops.pixels import CentredPixels, PixelConv2d
from fdabnn_deploy.ir.ops.pointwise import Add, Affine, Clamp, Maximum, Mul, PRelu, Relu, Softmax, Sub
from fdabnn_deploy.ir.ops.pooling import AvgPool2d, GlobalAvgPool, GlobalSum, MaxPool2d
from fdabnn_deploy.ir.ops.position import BorderOffset, PositionAffine
from fdabnn_deploy.ir.ops.upsampling import DepthToSpace, UpsampleNearest

DEPLOYED: frozenset[type[Op]] = frozenset(entry.kind for entry in REGISTRY)
"""The operators of a deployed graph: every converter and every runtime of a graph covers exactly these."""

MOVERS: tuple[type[Mover], ...] = tuple(entry.kind for entry in REGISTRY if issubclass(entry.kind, Mover))
"""The deployed operators that only move the values of one tensor."""

__all__ = [
    "BATCH", "DEPLOYED", "MOVERS", "REGISTRY", "Add", "Affine", "Array", "AvgPool2d", "BatchNorm", "BinaryConv2d", "BinaryLinear",
    "BorderOffset", "CentredPixels", "Clamp", "Compare", "Concat", "Constant", "Conv2d", "DepthToSpace", "Div", "FloatArray",
    "GlobalAvgPool", "GlobalSum", "GraphError", "Input", "Linear", "Logical", "LogicalNot", "MaxPool2d", "Maximum", "Mover", "Mul",
    "Op", "Opaque", "PRelu", "Pad", "Permute", "PixelConv2d", "PositionAffine", "Registered", "Relu", "Reshape", "RoundToGrid",
    "Saturate", "Shape", "Sign", "Slice", "Softmax", "Sub", "ToFloat", "TorchSign", "TrainedConv2d", "TrainedLinear", "Unary",
    "UpsampleNearest", "Where",
]  # fmt: skip
