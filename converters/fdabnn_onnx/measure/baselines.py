"""The float and the quantised baseline of an ONNX file."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.measure.baselines.baseline import BaselineLayer
from fdabnn_deploy.measure.baselines.float32 import baseline_layers, rewrite
from fdabnn_deploy.measure.baselines.int8 import Found, images_for, one_input
from fdabnn_deploy.system.scratch import ScratchFolder
from fdabnn_onnx.measure import float_onnx
from fdabnn_onnx.prove.optimised import import_onnx


def float_baseline(content: bytes) -> tuple[bytes, list[BaselineLayer]]:
    """The float baseline of a file, and its layers in the model's order; see `fdabnn_deploy.measure.baselines.float32`.

    Raises:
        ModelRefusedError: the file is damaged, has no binary layer, or an operator that has no float form.
        RuntimeMissingError: a package is missing.
    """
    model = float_onnx.load_model(content)
    network = float_onnx.read_network(model)
    rewrite(network, activations=False)
    baseline, shapes = float_onnx.write_network(network, model)
    layers = float_onnx.named_layers(network, import_onnx().load_from_string(content))
    return baseline.SerializeToString(deterministic=True), baseline_layers(network, layers, shapes)


def quantised_baseline(content: bytes, layers: list[BaselineLayer], given: FloatArray | None) -> Found:
    """The quantised baseline of a float baseline; see `fdabnn_deploy.measure.baselines.int8` and `FormatTools.quantised_baseline`.

    Raises:
        UsageError: the images do not fit.
        ModelRefusedError: the model takes no images, or more than one tensor.
        RuntimeMissingError: a package is missing.
    """
    onnx = import_onnx()
    try:
        tools: Any = importlib.import_module("onnxruntime.quantization")
        version = importlib.import_module("onnxruntime").__version__
    except ImportError as error:
        raise RuntimeMissingError(
            f"an int8 baseline of ONNX files needs onnxruntime ({error}): pip install onnxruntime"
        ) from None
    model = onnx.load_from_string(content)
    one_input(len(model.graph.input))
    value = model.graph.input[0]
    shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    images = images_for(shape[1:], given)
    batch = max(shape[0], 1)
    images = np.resize(images, (max(len(images) // batch, 1) * batch, *shape[1:]))
    feeds = iter([{value.name: images[i : i + batch]} for i in range(0, len(images), batch)])

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
            # Weights of 7 bits: without VNNI, ONNX Runtime adds two products of 8 bits in 16 on x86-64, and those saturate.
            reduce_range=True,
        )
        found = onnx.load(target)
    del found.graph.value_info[:]
    makers = {name: (place, node) for place, node in enumerate(found.graph.node) for name in node.output}
    moved = []
    for layer in layers:
        place, node = makers.get(f"{layer.baseline_tensor}_quantized") or makers[layer.baseline_tensor]
        moved.append(
            replace(layer, baseline_op=place, baseline_tensor=node.output[0], baseline_node=node.name)
        )
    note = f"the float baseline in u8 x s8, by ONNX Runtime {version}'s quantiser, weights per channel"
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
