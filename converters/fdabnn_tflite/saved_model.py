"""Runs TensorFlow and LCE's converter: a lowered graph in, the bytes of a TFLite file out."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import BATCH, Array, Input
from fdabnn_deploy.system.plugins import INSTALL_LCE
from fdabnn_deploy.system.scratch import ScratchFolder
from fdabnn_tflite.lower.table import lower_graph
from fdabnn_tflite.runtime.native_stderr import native_stderr
from fdabnn_tflite.tensor_layout import natural_form, stored_shape
from fdabnn_tflite.tensorflow_emitter import TensorFlowEmitter

INPUT, OUTPUT = "in_{:04}", "out_{:04}"
"""Names of the signature's tensors: TensorFlow sorts them by name, so the numbers have leading zeros."""


def import_tensorflow() -> tuple[Any, Any]:
    """Imports TensorFlow and LCE's converter.

    Raises:
        RuntimeMissingError: one of them is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with native_stderr():
            import tensorflow as tf
            from larq_compute_engine.mlir.python import converter
    except ImportError as error:
        raise _missing(str(error)) from None
    return tf, converter


def _missing(reason: str) -> RuntimeMissingError:
    return RuntimeMissingError(
        f"LCE's converter needs tensorflow and larq-compute-engine ({reason}), which exist for Python 3.11 and 3.12 on x86-64: install "
        f"them with  {INSTALL_LCE}"
    )


def check_installed() -> None:
    """Does nothing where TensorFlow and LCE are installed; loads neither.

    Raises:
        RuntimeMissingError: one of them is not installed.
    """
    for package in ("tensorflow", "larq_compute_engine"):
        if importlib.util.find_spec(package) is None:
            raise _missing(f"No module named '{package}'")


def build_flatbuffer(
    graph: Graph, flipped: bool, batch: int | None
) -> tuple[bytes, TensorFlowEmitter, list[Any]]:
    """Lowers a graph, saves it as a SavedModel in a temporary folder, and converts that.

    Args:
        graph: deployed.
        flipped: whether the network works on mirrored images.
        batch: the batch size, or None for a file with batch 1 that runtimes may resize.

    Returns:
        The converter's bytes, the emitter with what it remembers of the function, and the function's output tensors.

    Raises:
        ModelRefusedError: an operator has no lowering.
        RuntimeMissingError: TensorFlow or LCE is not installed.
    """
    tf, converter = import_tensorflow()

    def constant(values: Array) -> Any:
        with tf.init_scope():
            return tf.constant(values)

    emitter = TensorFlowEmitter(graph, flipped, tf.raw_ops, constant)
    results: list[Any] = []

    def function(*arguments: Any) -> dict[str, Any]:
        results.extend(lower_graph(emitter, arguments))
        return {OUTPUT.format(i): result for i, result in enumerate(results)}

    specs = []
    for i, name in enumerate(graph.inputs):
        shape = stored_shape(graph.shape(name), natural_form(graph.shape(name)))
        dims = [batch if dim == BATCH else dim for dim in shape]
        op = graph[name].op
        kind = tf.uint8 if isinstance(op, Input) and op.pixels else tf.float32
        specs.append(tf.TensorSpec(dims, kind, name=INPUT.format(i)))
    module = tf.Module()
    options = tf.config.optimizer.get_experimental_options()
    # Grappler would merge constants, and that changes roundings.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        with native_stderr() as log, ScratchFolder("fdabnn-saved-") as folder:
            module.main = tf.function(function, input_signature=specs, autograph=False)
            tf.saved_model.save(module, str(folder.path), signatures={"serving_default": module.main})
            data = converter.convert_saved_model(str(folder.path))
    except Exception as error:
        error.add_note(log.text[-4000:])
        raise
    finally:
        tf.config.optimizer.set_experimental_options(
            {"disable_meta_optimizer": options.get("disable_meta_optimizer", False)}
        )
    return data, emitter, results
