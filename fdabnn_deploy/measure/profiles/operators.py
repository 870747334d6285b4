"""What the operators of a model's file are: the layer they belong to, and how many multiply-adds they stand for.

A convolution takes `H W O kh kw C / groups` multiply-adds for one image (H, W, O of its output), a dense layer `O C` per row. Those of a
binary layer are 1-bit ones: an exclusive or and a count.

In a file of this project the name of a tensor begins with the module of the network that it belongs to, `layer1.0.conv1/sign`: the
operators of a module are one layer, and a binary convolution belongs to the module whose signs it reads, in a packed ONNX file to that of
its filter, whatever was merged into it. In other files every operator is a layer, called by the tensor that it writes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.prove.readers.flexbuffer import integer_map
from fdabnn_deploy.prove.rows import UnprovedError
from fdabnn_deploy.runtimes.onnx import onnx_file
from fdabnn_deploy.runtimes.onnx.external_data import read_model
from fdabnn_deploy.runtimes.onnx.onnxruntime import CUSTOM_OPS, OnnxRuntime
from fdabnn_deploy.runtimes.tflite import tflite_file
from fdabnn_deploy.runtimes.tflite.flatbuffer import root

OURS = "fdabnn_deploy_version"
"""Metadata that only files of this project have."""
_WORD = 32


@dataclass(frozen=True)
class Operator:
    """An operator of the file.

    Attributes:
        name: of the tensor it writes first.
        node: its own name, where the format gives it one.
        type: of the operator, such as `LceBconv2d`.
        layer: that it belongs to.
        macs: multiply-adds for one image, 0 for what is no convolution or dense layer.
        binary: whether they are 1-bit ones.
        packer: index of the operator that packs the signs which a binary layer reads, None where another layer gives them packed.
        reads: indices of the operators whose results it reads.
    """

    name: str
    node: str
    type: str
    layer: str
    macs: int = 0
    binary: bool = False
    packer: int | None = None
    reads: tuple[int, ...] = ()


def read(path: Path) -> tuple[Operator, ...]:
    """The operators in the file's order.

    Raises:
        UsageError: the file cannot be read.
        ModelRefusedError: it is damaged.
        RuntimeMissingError: the runtime for its shapes is not installed.
    """
    return _read_tflite(path) if path.suffix.lower() == ".tflite" else _read_onnx(path)


def _read_tflite(path: Path) -> tuple[Operator, ...]:
    file = tflite_file.read_tflite(path)
    ours = OURS in file.metadata
    tables = list(next(iter(root(file.data, tflite_file.IDENTIFIER).tables(2))).tables(3))
    writers: dict[int, int] = {}
    found: list[Operator] = []
    for i, operator in enumerate(file.operators):
        shapes = [file.tensors[t].shape if t >= 0 else () for t in operator.inputs]
        outputs = [file.tensors[t] for t in operator.outputs]
        name = outputs[0].name if outputs else operator.name
        binary = operator.name == "LceBconv2d"
        try:
            options = integer_map(tables[i].octets(5)) if binary else {}
            macs = _tflite_macs(operator.name, shapes, outputs[0].shape if outputs else (), options)
        except (UnprovedError, IndexError, KeyError, ZeroDivisionError) as error:
            raise ModelRefusedError(f"{path}: operator {i}, {operator.name}, is damaged: {error}") from None
        packer = None
        owner = name
        if binary:
            owner = file.tensors[operator.inputs[0]].name
            writer = writers.get(operator.inputs[0])
            packer = writer if writer is not None and found[writer].type == "LceQuantize" else None
        layer = owner.partition("/")[0] if ours else name
        reads = tuple(dict.fromkeys(writers[t] for t in operator.inputs if t in writers))
        found.append(Operator(name, name, operator.name, layer, macs, binary, packer, reads))
        writers.update(dict.fromkeys(operator.outputs, i))
    return tuple(found)


def _tflite_macs(
    name: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], options: dict[str, int]
) -> int:
    """Multiply-adds of one image; filters are [O, kh, kw, C / groups], depthwise ones [1, kh, kw, O], dense ones [O, C]."""
    pixels = math.prod(output[1:-1])
    if name == "LceBconv2d":
        outputs, height, width, words = inputs[1]
        channels = options["channels_in"]
        groups = max(1, -(-channels // _WORD) // words)
        return pixels * outputs * height * width * (channels // groups)
    if name == "CONV_2D":
        return pixels * math.prod(inputs[1])
    if name == "DEPTHWISE_CONV_2D":
        return pixels * math.prod(inputs[1])
    if name == "FULLY_CONNECTED":
        return pixels * math.prod(inputs[1])
    return 0


def _read_onnx(path: Path) -> tuple[Operator, ...]:
    runtime = OnnxRuntime()
    ours = OURS in runtime.metadata(path)
    shapes = runtime.open(path).shapes()
    content = read_model(path)
    constants = onnx_file.initializer_shapes(content)
    writers: dict[str, int] = {}
    found: list[Operator] = []
    for node in onnx_file.nodes(content):
        name = next((output for output in node.outputs if output), node.name)
        binary = node.domain == CUSTOM_OPS and node.operator == "BinaryConv"
        try:
            macs = _onnx_macs(node, constants, shapes.get(name, ()))
        except (IndexError, KeyError, ValueError) as error:
            raise ModelRefusedError(
                f"{path}: node {node.name}, {node.operator}, is damaged: {error}"
            ) from None
        packer = None
        owner = name
        if binary:
            owner = node.inputs[1]
            writer = writers.get(node.inputs[0])
            # A dense layer reads its signs as a image of one pixel.
            while writer is not None and found[writer].type == "Unsqueeze" and found[writer].reads:
                writer = found[writer].reads[0]
            packer = writer if writer is not None and found[writer].type == "PackSigns" else None
        layer = owner.partition("/")[0] if ours else name
        reads = tuple(dict.fromkeys(writers[each] for each in node.inputs if each in writers))
        writers.update(dict.fromkeys(filter(None, node.outputs), len(found)))
        found.append(Operator(name, node.name, node.operator, layer, macs, binary, packer, reads))
    return tuple(found)


def _onnx_macs(
    node: onnx_file.NodeInfo, constants: dict[str, tuple[int, ...]], output: tuple[int, ...]
) -> int:
    """Multiply-adds of one image; filters are [O, C / groups, kh, kw], packed ones [O, kh, kw, ceil(C / groups / 32)].

    A ConvDifference has filters [F, O, C, kh, kw] and takes one of them for each of its terms.
    """
    if node.operator == "BinaryConv" and node.domain == CUSTOM_OPS:
        outputs, height, width, _ = constants[node.inputs[1]]
        depth = node.integers["channels"][0] // (node.integers.get("group") or (1,))[0]
        # Y is [N, O, H, W], T [N, H, W, words].
        plain = bool(node.outputs[0])
        pixels = math.prod(output[2:] if plain else output[1:3])
        return pixels * outputs * height * width * depth
    if node.operator == "ConvDifference" and node.domain == CUSTOM_OPS:
        terms = len(node.integers["term_filters"])
        return math.prod(output[2:]) * terms * math.prod(constants[node.inputs[0]][1:])
    if node.operator == "Conv" and not node.domain and node.inputs[1] in constants:
        return math.prod(output[2:]) * math.prod(constants[node.inputs[1]])
    if node.operator in {"Gemm", "MatMul"} and not node.domain and node.inputs[1] in constants:
        return math.prod(output[1:-1]) * math.prod(constants[node.inputs[1]])
    return 0
