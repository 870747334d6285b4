"""Small networks as files of both formats, for the tests of baselines."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, Conv2d, FloatArray, Linear
from fdabnn_deploy.measure.baselines.float_network import Network
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.targets.converter import ConvertOptions, Kernels
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_onnx.measure import float_onnx
from fdabnn_tflite.measure import float_tflite

RNG = np.random.default_rng(7)
FORMATS = (".onnx", ".tflite")


def seed(number: int) -> None:
    """Starts the random numbers anew, whatever ran before."""
    RNG.bit_generator.state = np.random.default_rng(number).bit_generator.state


def floats(*shape: int) -> FloatArray:
    return RNG.standard_normal(shape, dtype=np.float32)


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> Conv2d:
    weight = floats(outputs, inputs, kernel, kernel) / np.float32(np.sqrt(inputs * kernel * kernel))
    return Conv2d(weight, floats(outputs), (stride, stride), (kernel // 2,) * 2)


def binary(inputs: int, outputs: int, stride: int = 1, groups: int = 1, padding_value: int = 0) -> BinaryConv2d:  # fmt: skip
    signs = np.where(RNG.random((outputs, inputs // groups, 3, 3)) < 0.5, -1, 1).astype(np.int8)
    return BinaryConv2d(signs, (stride, stride), (1, 1), padding_value=padding_value, groups=groups)


def affine(channels: int) -> Affine:
    return Affine(RNG.uniform(0.02, 0.1, channels), RNG.normal(size=channels))


def dense(inputs: int, outputs: int) -> Linear:
    return Linear(floats(outputs, inputs) / np.float32(np.sqrt(inputs)), floats(outputs))


def write(graph: Graph, path: Path, *, exact: bool = False, kernels: Kernels = "standard") -> Path:
    """Exports a deployed graph, without verification."""
    record = ""
    if exact:
        shapes = [graph.shape(name)[1:] for name in graph.inputs]
        made = make_exact(graph, [floats(8, *shape) for shape in shapes])
        graph, record = made.graph, made.numerics.to_text()
    info = ModelInfo(path.stem, graph.shape(graph.inputs[0])[1:], numerics=record)
    converter = find_converter(path.suffix.removeprefix("."))
    return converter.convert(graph, info, path, ConvertOptions(1, kernels)).path


def read_network(path: Path) -> Network:
    if path.suffix == ".tflite":
        return float_tflite.read_network(path.read_bytes())
    return float_onnx.read_network(float_onnx.load_model(path.read_bytes()))


def write_network(network: Network, source: Path, path: Path) -> Path:
    content = source.read_bytes()
    if source.suffix == ".tflite":
        path.write_bytes(float_tflite.write_network(network, content)[0])
    else:
        model, _ = float_onnx.write_network(network, float_onnx.load_model(content))
        path.write_bytes(model.SerializeToString())
    return path


def run(path: Path, *inputs: FloatArray) -> list[FloatArray]:
    """Runs a file on the runtime for its suffix and returns the outputs."""
    return registry.for_file(path).open(path).run(list(inputs))


def operators(path: Path) -> Counter[str]:
    """How often each operator occurs in a file."""
    return Counter(item.step.op for item in read_network(path).items)
