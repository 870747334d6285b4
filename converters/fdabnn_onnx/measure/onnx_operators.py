"""The operators of an ONNX file, for profiles."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.measure.profiles.operators import OURS, Operator
from fdabnn_onnx.runtime import onnx_file
from fdabnn_onnx.runtime.external_data import read_model
from fdabnn_onnx.runtime.onnxruntime import CUSTOM_OPS, OnnxRuntime

_OF_WEIGHTS = {"Cast", "Mul"}
"""The operators that make floats of weights that are stored as integers."""


def operators(path: Path) -> tuple[Operator, ...]:
    """The operators of a file in its order; see `fdabnn_deploy.measure.profiles.operators`.

    Raises:
        UsageError: the file cannot be read.
        ModelRefusedError: it is damaged.
        RuntimeMissingError: the runtime for its shapes is not installed.
    """
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
            if node.operator in _OF_WEIGHTS and constants.keys() >= set(node.inputs):
                constants[name] = np.broadcast_shapes(*(constants[each] for each in node.inputs))
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
            # A dense layer reads its signs as an image of one pixel.
            while writer is not None and found[writer].type == "Unsqueeze" and found[writer].reads:
                writer = found[writer].reads[0]
            packer = writer if writer is not None and found[writer].type == "PackSigns" else None
        layer = owner.partition("/")[0] if ours else name
        reads = tuple(dict.fromkeys(writers[each] for each in node.inputs if each in writers))
        writers.update(dict.fromkeys(filter(None, node.outputs), len(found)))
        found.append(Operator(name, node.name, node.operator, layer, macs, binary, packer, reads))
    return tuple(found)


def constant_bytes(content: bytes) -> int:
    """The bytes of all initialisers."""
    return onnx_file.initializer_bytes(content)


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
