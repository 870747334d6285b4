"""The float and the quantised baseline of a TFLite file."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fdabnn_deploy.errors import ModelRefusedError, RuntimeMissingError
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.measure.baselines.baseline import BaselineLayer
from fdabnn_deploy.measure.baselines.float32 import baseline_layers, rewrite
from fdabnn_deploy.measure.baselines.int8 import Found, images_for, one_input
from fdabnn_deploy.system.plugins import INSTALL_LCE
from fdabnn_tflite.measure import float_tflite
from fdabnn_tflite.runtime.flatbuffer import DamagedError
from fdabnn_tflite.runtime.native_stderr import native_stderr
from fdabnn_tflite.runtime.tflite_file import parse_tflite


def float_baseline(content: bytes) -> tuple[bytes, list[BaselineLayer]]:
    """The float baseline of a file, and its layers in the model's order; see `fdabnn_deploy.measure.baselines.float32`.

    Raises:
        ModelRefusedError: the file is damaged, has no binary layer, or an operator that has no float form.
        RuntimeMissingError: a package is missing.
    """
    try:
        network = float_tflite.read_network(content)
    except DamagedError as error:
        raise ModelRefusedError(
            f"it is damaged or not a TFLite file ({error}): copy or export it again"
        ) from None
    rewrite(network, activations=True)
    data, shapes = float_tflite.write_network(network, content)
    return data, baseline_layers(network, network.layers, shapes)


def quantised_baseline(content: bytes, layers: list[BaselineLayer], given: FloatArray | None) -> Found:
    """The quantised baseline of a float baseline; see `fdabnn_deploy.measure.baselines.int8` and `FormatTools.quantised_baseline`.

    Raises:
        UsageError: the images do not fit.
        ModelRefusedError: the model takes no images, or more than one tensor.
        RuntimeMissingError: a package is missing.
    """
    file = parse_tflite(content)
    one_input(len(file.inputs))
    shape = file.tensors[file.inputs[0]].shape
    images = images_for((*shape[3:], *shape[1:3]), given).transpose(0, 2, 3, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with native_stderr():
            import tensorflow as tf

            calibrator = importlib.import_module("tensorflow.lite.python.optimize.calibrator")
            convert = importlib.import_module("tensorflow.lite.python.convert")
    except ImportError as error:
        raise RuntimeMissingError(
            f"an int8 baseline of TFLite files is made by TensorFlow's own quantiser ({error}): install it with  {INSTALL_LCE}"
        ) from None

    def feed() -> Iterator[list[FloatArray]]:
        for image in images:
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
    moved = [replace(layer, baseline_op=makers[layer.baseline_tensor]) for layer in layers]
    note = f"the float baseline in int8, by TensorFlow {tf.__version__}, weights per channel"
    return bytes(found), moved, note
