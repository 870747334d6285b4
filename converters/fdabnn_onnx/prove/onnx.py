"""An ONNX model, ONNX Runtime's own operators and packed ones included, in the prover's neutral form.

Sources: https://onnx.ai/onnx/operators (opset 13 to 17); https://github.com/microsoft/onnxruntime, docs/ContribOperators.md for
`com.microsoft` and core/graph/contrib_ops/nchwc_schema_defs.cc for `com.microsoft.nchwc`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fdabnn_deploy.prove import refusals
from fdabnn_deploy.prove.domain import Constants, Shape
from fdabnn_deploy.prove.geometry import Windows
from fdabnn_deploy.prove.operator import Operator
from fdabnn_deploy.prove.program import Program, Step
from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_onnx.prove import onnx_blocked
from fdabnn_onnx.prove.onnx_packed import expanded
from fdabnn_onnx.prove.optimised import LEVELS, block_size, import_onnx, optimised

_BLOCKED = "com.microsoft.nchwc"
FLOAT = 1
"""Of `TensorProto.DataType`."""
_DOMAINS = {"", "ai.onnx", "com.microsoft", _BLOCKED}


def read_onnx(content: bytes) -> Program:
    """Reads a model as its bytes say; what has no neutral form becomes a step of kind `unknown`.

    Raises:
        RuntimeMissingError: the package onnx is not installed.
    """
    onnx = import_onnx()
    model = expanded(onnx.load_from_string(content))
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    steps: list[Step] = []
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            constants[node.output[0]] = onnx.numpy_helper.to_array(attributes["value"])
            continue
        folded = _folded(node, attributes, constants)
        if folded is not None:
            constants[node.output[0]] = folded
            continue
        steps.append(_Node(node, attributes, constants).step())
    inputs = {value.name: _shape(value) for value in model.graph.input if value.name not in constants}
    # What ONNX Runtime calls `reorder_token_7` is the model's tensor of blocked channels.
    labels = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "ReorderOutput"}
    outputs = tuple(value.name for value in model.graph.output)
    pixels = frozenset(
        value.name
        for value in model.graph.input
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    )
    return Program(inputs, constants, tuple(steps), outputs, labels, pixels)


def read_forms(content: bytes) -> Iterator[tuple[str, Program]]:
    """Reads what ONNX Runtime makes of an ONNX file on this machine, by level of optimisation.

    Raises:
        ModelRefusedError: ONNX Runtime does not take the file.
        RuntimeMissingError: the package onnx or onnxruntime is not installed.
    """
    for level in LEVELS:
        yield level, read_onnx(optimised(content, level))


_SMALL = 2
"""Bytes of integers that float32 holds exactly."""


def _folded(node: Any, attributes: dict[str, Any], constants: dict[str, Constants]) -> Constants | None:
    """The constant that a node makes of constants, where nothing is rounded: integers as float32, or a product."""
    if node.domain not in _DOMAINS or not node.input or not all(name in constants for name in node.input):
        return None
    values = [constants[name] for name in node.input]
    if node.op_type == "Cast" and attributes.get("to") == FLOAT:
        (value,) = values
        small = value.dtype.kind in "iu" and value.dtype.itemsize <= _SMALL
        return value.astype(np.float32) if small else None
    if node.op_type == "Mul" and all(value.dtype == np.float32 for value in values):
        product = values[0].astype(np.float64) * values[1].astype(np.float64)
        rounded = product.astype(np.float32)
        return rounded if np.array_equal(rounded, product) else None
    return None


def _shape(value: Any) -> Shape:
    return tuple(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)


class _Node(Operator):
    """One node with its attributes and the constants it may read."""

    def __init__(self, node: Any, attributes: dict[str, Any], constants: dict[str, Constants]) -> None:
        super().__init__(node.op_type, list(node.input), [name for name in node.output if name], constants)
        self.domain: str = node.domain
        self.attributes = attributes

    def reader(self) -> Callable[[_Node], Step] | None:
        return _READERS.get(self.op) if self.domain in _DOMAINS else None

    def get(self, name: str, default: Any) -> Any:
        return self.attributes.get(name, default)

    def integers(self, index: int, attribute: str) -> list[int] | None:
        """Parameters that newer operator sets take as an input and older ones as an attribute."""
        if attribute in self.attributes:
            return [int(i) for i in self.attributes[attribute]]
        found = self.optional(index)
        return None if found is None else [int(i) for i in found.reshape(-1)]

    def require(self, name: str, *allowed: Any) -> None:
        value = self.get(name, allowed[0])
        if value not in allowed:
            raise UnprovedError(f"its attribute {name} is {value!r}")

    def activation(self) -> tuple[float, float] | float | None:
        """The activation of a fused operator."""
        kind = self.get("activation", b"").decode()
        parameters = list(self.get("activation_params", ()))
        if kind == "":
            return None
        if kind == "Relu":
            return (0.0, math.inf)
        if kind == "LeakyRelu":
            return float(parameters[0] if parameters else self.get("activation_alpha", 0.01))
        if kind == "Clip" and len(parameters) == 2:
            return (float(parameters[0]), float(parameters[1]))
        raise UnprovedError(f"its fused activation {kind}: {refusals.reason(kind)}")

    def windows(self, kernel: tuple[int, ...]) -> Windows:
        self.require("ceil_mode", 0)
        self.require("auto_pad", b"NOTSET", b"VALID", b"SAME_UPPER")
        axes = tuple(range(2, 2 + len(kernel)))
        ones, count = (1,) * len(kernel), len(kernel)
        pads: Any = "SAME"
        if self.get("auto_pad", b"NOTSET") != b"SAME_UPPER":
            flat = list(self.get("pads", (0,) * (2 * count)))
            pads = tuple(zip(flat[:count], flat[count:], strict=True))
        return Windows(
            axes, kernel, tuple(self.get("strides", ones)), tuple(self.get("dilations", ones)), pads
        )


def _conv(node: _Node) -> Step:
    weight = np.asarray(node.constant(1), dtype=np.float32)
    if weight.ndim != 4:
        raise UnprovedError("it is not two-dimensional")
    if node.domain == _BLOCKED:
        weight = onnx_blocked.plain_filter(weight, block_size())
    inputs = [node.inputs[0], *(node.inputs[3:4] if node.has(3) else ())]
    outputs, group_inputs, height, width = weight.shape
    return node.make(
        "linear",
        inputs,
        node.activation(),
        weight=weight.reshape(outputs, group_inputs, height * width),
        bias=node.optional(2),
        groups=int(node.get("group", 1)),
        axis=1,
        windows=node.windows((height, width)),
    )


def _cast(node: _Node) -> Step:
    if node.attributes.get("to") != FLOAT:
        raise UnprovedError("it casts to something else than float32")
    return node.make("cast")


def _gather(node: _Node) -> Step:
    indices = np.asarray(node.constant(1))
    return node.make("gather", node.inputs[:1], indices=indices, axis=int(node.get("axis", 0)))


def _dense(node: _Node) -> Step:
    for name in ("alpha", "beta"):
        node.require(name, 1.0)
    for name in ("transA", "transBatchA", "transBatchB"):
        node.require(name, 0)
    weight = np.asarray(node.constant(1), dtype=np.float32)
    if weight.ndim != 2:
        raise UnprovedError("its weights are not a matrix")
    weight = np.ascontiguousarray(weight if node.get("transB", 0) else weight.T)
    bias = node.optional(2)
    if bias is not None:
        bias = np.broadcast_to(
            bias.reshape(-1) if bias.ndim < 2 or bias.shape[0] == 1 else bias, weight.shape[:1]
        )
    return node.make(
        "linear",
        node.inputs[:1],
        node.activation(),
        weight=weight[:, :, None],
        bias=bias,
        groups=1,
        axis=1,
        windows=None,
    )


def _fold(kind: str) -> Callable[[_Node], Step]:
    def read(node: _Node) -> Step:
        if len(node.inputs) != 2:
            raise UnprovedError(f"it takes {len(node.inputs)} tensors")
        return node.make(kind)

    return read


def _plain(kind: str) -> Callable[[_Node], Step]:
    return lambda node: node.make(kind)


def _comparison(relation: str) -> Callable[[_Node], Step]:
    return lambda node: node.make("compare", relation=relation)


def _clip(node: _Node) -> Step:
    low, high = node.optional(1), node.optional(2)
    limits = (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return node.make("clip", node.inputs[:1], low=limits[0], high=limits[1])


def _prelu(node: _Node) -> Step:
    return node.make("prelu", node.inputs[:1], slope=node.constant(1))


def _leaky_relu(node: _Node) -> Step:
    return node.make("prelu", slope=np.array(node.get("alpha", 0.01), dtype=np.float32))


def _reduce(kind: str) -> Callable[[_Node], Step]:
    def read(node: _Node) -> Step:
        axes = node.integers(1, "axes")
        if not axes:
            raise UnprovedError("it reduces the batch too")
        return node.make(kind, node.inputs[:1], axes=axes, keep=bool(node.get("keepdims", 1)))

    return read


def _pool(kind: str) -> Callable[[_Node], Step]:
    def read(node: _Node) -> Step:
        windows = node.windows(tuple(node.attributes["kernel_shape"]))
        if kind == "average":
            return node.make(kind, windows=windows, count_padding=bool(node.get("count_include_pad", 0)))
        return node.make(kind, windows=windows)

    return read


def _pad(node: _Node) -> Step:
    node.require("mode", b"constant")
    pads = node.integers(1, "pads") or []
    if node.has(3):
        raise UnprovedError("it pads chosen axes")
    value = node.optional(2)
    half = len(pads) // 2
    pairs = list(zip(pads[:half], pads[half:], strict=True))
    return node.make(
        "pad", node.inputs[:1], pads=pairs, value=0.0 if value is None else float(value.reshape(-1)[0])
    )


def _slice(node: _Node) -> Step:
    begins, ends = node.integers(1, "starts"), node.integers(2, "ends")
    assert begins is not None
    assert ends is not None
    axes = node.integers(3, "axes") or list(range(len(begins)))
    steps = node.integers(4, "steps") or [1] * len(begins)
    return node.make(
        "slice_axes", node.inputs[:1], axes=axes, ranges=list(zip(begins, ends, steps, strict=True))
    )


def _reshape(node: _Node) -> Step:
    node.require("allowzero", 0)
    target = [int(i) for i in node.constant(1)]
    return node.make("reshape", node.inputs[:1], target=target)


def _flatten(node: _Node) -> Step:
    node.require("axis", 1)
    return node.make("reshape", target=[0, -1])


def _depth_to_space(node: _Node) -> Step:
    node.require("mode", b"DCR", b"CRD")
    return node.make(
        "depth_to_space",
        factor=int(node.attributes["blocksize"]),
        axis=1,
        neighbours=node.get("mode", b"DCR") == b"CRD",
    )


def _resize(node: _Node) -> Step:
    node.require("mode", b"nearest")
    if node.domain == _BLOCKED:
        node.require("coordinate_transformation_mode", b"asymmetric")
        factors = [float(i) for i in node.attributes["scales"]]
        return node.make("enlarge", axes=[2, 3], factors=factors[-2:])
    settings = node.get("coordinate_transformation_mode", b""), node.get("nearest_mode", b"")
    if settings != (b"asymmetric", b"floor"):
        raise UnprovedError("it does not take the neighbour floor(i / factor)")
    factors = [float(i) for i in node.constant(2).reshape(-1)]
    return node.make("enlarge", node.inputs[:1], axes=list(range(len(factors))), factors=factors)


def _global_mean(node: _Node) -> Step:
    return node.make("mean", axes=[2, 3], keep=True)


def _squeeze(node: _Node) -> Step:
    return node.make(
        "squeeze", node.inputs[:1], axes=node.integers(1, "axes") or [], add=node.op == "Unsqueeze"
    )


def _block_input(node: _Node) -> Step:
    node.require("channels_last", 0)
    return node.make("fill_channels", block=block_size())


def _block_output(node: _Node) -> Step:
    node.require("channels_last", 0)
    return node.make("slice_axes", axes=[1], ranges=[(0, int(node.attributes["channels"]), 1)])


_READERS: dict[str, Callable[[_Node], Step]] = {
    "Conv": _conv,
    "FusedConv": _conv,
    "Gemm": _dense,
    "FusedGemm": _dense,
    "MatMul": _dense,
    "FusedMatMul": _dense,
    "Add": _plain("add"),
    "Sub": _plain("sub"),
    "Mul": _plain("mul"),
    "Max": _fold("max"),
    "Min": _fold("min"),
    "Neg": _plain("neg"),
    "Cast": _cast,
    "Gather": _gather,
    "Clip": _clip,
    "Relu": _plain("relu"),
    "PRelu": _prelu,
    "LeakyRelu": _leaky_relu,
    "Round": _plain("round"),
    "Less": _comparison("<"),
    "LessOrEqual": _comparison("<="),
    "Greater": _comparison(">"),
    "GreaterOrEqual": _comparison(">="),
    "Where": _plain("select"),
    "ReduceSum": _reduce("sum"),
    "ReduceMean": _reduce("mean"),
    "GlobalAveragePool": _global_mean,
    "AveragePool": _pool("average"),
    "MaxPool": _pool("maximum"),
    "Pad": _pad,
    "Slice": _slice,
    "Concat": lambda node: node.make("concat", axis=int(node.attributes["axis"])),
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _squeeze,
    "Transpose": lambda node: node.make("transpose", order=list(node.attributes["perm"])),
    "DepthToSpace": _depth_to_space,
    "Resize": _resize,
    "Upsample": _resize,
    "Identity": _plain("identity"),
    "ReorderInput": _block_input,
    "ReorderOutput": _block_output,
}
