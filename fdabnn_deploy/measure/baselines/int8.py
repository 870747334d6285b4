"""The quantised twin: the float twin in 8-bit integers, by the tools that their runtimes come with.

TFLite files: what TensorFlow's converter does behind its conversion, with a float file at hand: calibrate it on pictures, quantise it
with signed activations and weights per channel, full integer; inputs and outputs stay float32, so that it takes what the model takes.

ONNX files: `onnxruntime.quantization`, static, unsigned activations by signed weights per channel, as operators of ONNX Runtime
(`QLinearConv`). Both signed would be 13 to 22 times slower on x86. Operators that ONNX Runtime has no integer form of, such as a PReLU
with a slope per channel, stay float.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from fdabnn_deploy.data.images import synthetic
from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError, UsageError
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.measure.baselines.baseline import TwinLayer
from fdabnn_deploy.prove.domain import Shape
from fdabnn_deploy.prove.readers.optimised import import_onnx
from fdabnn_deploy.runtimes.tflite.native_stderr import native_stderr
from fdabnn_deploy.runtimes.tflite.tflite_file import parse_tflite
from fdabnn_deploy.system.scratch import ScratchFolder

CALIBRATION_IMAGES = 8
Found = tuple[bytes, list[TwinLayer], str]


def quantised_twin(
    content: bytes, layers: list[TwinLayer], suffix: str, pictures: FloatArray | None
) -> Found:
    """The quantised twin, its layers, and a note.

    Args:
        content: of the float twin.
        layers: of the float twin.
        suffix: `.tflite` or `.onnx`.
        pictures: normalised, float32 [N, C, H, W]; None for made-up ones.

    Raises:
        UsageError: the pictures do not fit.
        ModelRefusedError: the model takes no pictures, or more than one tensor.
        RuntimeMissingError: a package is missing.
    """
    return (_tflite if suffix == ".tflite" else _onnx)(content, layers, pictures)


def _one_input(count: int) -> None:
    if count != 1:
        raise ModelRefusedError(f"it has {count} inputs; files with one are quantised")


def _images(shape: Shape, given: FloatArray | None) -> FloatArray:
    """Float32 [N, C, H, W] for an input [C, H, W]."""
    if len(shape) != 3 or min(shape) < 1:
        raise ModelRefusedError(f"its input {shape} is no image of a fixed size")
    if given is None:
        made = synthetic(CALIBRATION_IMAGES, (3, *shape[1:]), seed=0)[:, np.arange(shape[0]) % 3]
        return (made.astype(np.float32) - 128) / 64
    if not len(given) or given.shape[1:] != shape:
        raise UsageError(
            f"pictures of shape {given.shape} do not fit its input [N, {', '.join(map(str, shape))}]"
        )
    return given[:CALIBRATION_IMAGES].astype(np.float32)


def _tflite(content: bytes, layers: list[TwinLayer], given: FloatArray | None) -> Found:
    file = parse_tflite(content)
    _one_input(len(file.inputs))
    shape = file.tensors[file.inputs[0]].shape
    pictures = _images((*shape[3:], *shape[1:3]), given).transpose(0, 2, 3, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with native_stderr():
            import tensorflow as tf

            calibrator = importlib.import_module("tensorflow.lite.python.optimize.calibrator")
            convert = importlib.import_module("tensorflow.lite.python.convert")
    except ImportError as error:
        raise RuntimeMissingError(
            f"an int8 baseline of TFLite files needs tensorflow ({error}): install it with  pip install 'fdabnn-deploy[export]'"
        ) from None

    def feed() -> Iterator[list[FloatArray]]:
        for image in pictures:
            yield [np.ascontiguousarray(image[None])]

    with native_stderr():
        calibrated = calibrator.Calibrator(content).calibrate(feed)
        found: bytes = convert.mlir_quantize(
            calibrated, input_data_type=tf.float32, output_data_type=tf.float32
        )
    quantised = parse_tflite(found)
    makers = {
        quantised.tensors[operator.outputs[0]].name: place
        for place, operator in enumerate(quantised.operators)
    }
    moved = [replace(layer, twin_op=makers[layer.twin_tensor]) for layer in layers]
    note = f"the float twin in int8, by TensorFlow {tf.__version__}, weights per channel"
    return bytes(found), moved, note


def _onnx(content: bytes, layers: list[TwinLayer], given: FloatArray | None) -> Found:
    onnx = import_onnx()
    try:
        tools: Any = importlib.import_module("onnxruntime.quantization")
        version = importlib.import_module("onnxruntime").__version__
    except ImportError as error:
        raise RuntimeMissingError(
            f"an int8 baseline of ONNX files needs onnxruntime ({error}): pip install onnxruntime"
        ) from None
    model = onnx.load_from_string(content)
    _one_input(len(model.graph.input))
    value = model.graph.input[0]
    shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    pictures = _images(shape[1:], given)
    batch = max(shape[0], 1)
    pictures = np.resize(pictures, (max(len(pictures) // batch, 1) * batch, *shape[1:]))
    feeds = iter([{value.name: pictures[i : i + batch]} for i in range(0, len(pictures), batch)])

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, FloatArray] | None:
            return next(feeds, None)

    with ScratchFolder("fdabnn-int8-") as folder, _quiet():
        source, target = folder.path / "float.onnx", folder.path / "int8.onnx"
        source.write_bytes(content)
        tools.quantize_static(
            source,
            target,
            Reader(),
            quant_format=tools.QuantFormat.QOperator,
            per_channel=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )
        found = onnx.load(target)
    del found.graph.value_info[:]
    makers = {name: (place, node) for place, node in enumerate(found.graph.node) for name in node.output}
    moved = []
    for layer in layers:
        place, node = makers.get(f"{layer.twin_tensor}_quantized") or makers[layer.twin_tensor]
        moved.append(replace(layer, twin_op=place, twin_tensor=node.output[0], twin_node=node.name))
    note = f"the float twin in u8 x s8, by ONNX Runtime {version}'s quantiser, weights per channel"
    return found.SerializeToString(deterministic=True), moved, note


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the quantiser's advice, which is about accuracy, from a user who asks for speed."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
