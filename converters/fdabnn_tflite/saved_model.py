"""Runs TensorFlow and LCE's converter: a lowered graph in, the bytes of a TFLite file out."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.graph import Graph
from fdabnn_deploy.ops import BATCH
from fdabnn_tflite.emitter import Emitter
from fdabnn_tflite.layout import natural_form, stored_shape
from fdabnn_tflite.lower import lower_graph

INPUT, OUTPUT = "in_{:04}", "out_{:04}"
"""Names of the signature's tensors: TensorFlow sorts them by name, so the numbers have leading zeros."""


@contextmanager
def quiet() -> Iterator[None]:
    """Swallows what native code writes to the process's standard error, such as TensorFlow's start-up notes.

    Python's own `sys.stderr` still reaches the terminal. When the body raises, what was swallowed is attached to the exception.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log, os.fdopen(os.dup(2), "w", buffering=1) as terminal:
        python_stderr = sys.stderr
        redirect = python_stderr is sys.__stderr__
        os.dup2(log.fileno(), 2)
        if redirect:
            sys.stderr = terminal
        try:
            yield
        except Exception as error:
            log.seek(0)
            error.add_note(log.read().decode("utf-8", "replace")[-4000:])
            raise
        finally:
            if redirect:
                sys.stderr = python_stderr
            os.dup2(terminal.fileno(), 2)


def import_tensorflow() -> tuple[Any, Any]:
    """Imports TensorFlow and LCE's converter.

    Raises:
        RuntimeMissingError: one of them is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet():
            import tensorflow as tf
            from larq_compute_engine.mlir.python import converter
    except ImportError as error:
        raise RuntimeMissingError(
            f"target 'tflite' needs the package '{error.name}': install it with  pip install 'fdabnn-deploy[export]'"
        ) from None
    return tf, converter


def build_flatbuffer(graph: Graph, flipped: bool, batch: int | None) -> tuple[bytes, Emitter, list[Any]]:
    """Lowers a graph, saves it as a SavedModel in a temporary folder, and converts that.

    Args:
        graph: deployed.
        flipped: whether the network works on mirrored pictures.
        batch: the batch size, or None for a file with batch 1 that runtimes may resize.

    Returns:
        The converter's bytes, the emitter with what it remembers of the function, and the function's output tensors.

    Raises:
        ModelRefusedError: an operator has no lowering.
        RuntimeMissingError: TensorFlow or LCE is not installed.
    """
    tf, converter = import_tensorflow()
    emitter = Emitter(graph, flipped, tf.raw_ops)
    results: list[Any] = []

    def function(*arguments: Any) -> dict[str, Any]:
        results.extend(lower_graph(emitter, arguments))
        return {OUTPUT.format(i): result for i, result in enumerate(results)}

    specs = []
    for i, name in enumerate(graph.inputs):
        shape = stored_shape(graph.shape(name), natural_form(graph.shape(name)))
        dims = [batch if dim == BATCH else dim for dim in shape]
        specs.append(tf.TensorSpec(dims, tf.float32, name=INPUT.format(i)))
    module = tf.Module()
    options = tf.config.optimizer.get_experimental_options()
    with quiet(), tempfile.TemporaryDirectory(prefix="fdabnn-") as folder:
        # Grappler would merge constants, and that changes roundings.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        try:
            module.main = tf.function(function, input_signature=specs, autograph=False)
            tf.saved_model.save(module, folder, signatures={"serving_default": module.main})
            data = converter.convert_saved_model(str(Path(folder)))
        finally:
            restored = {"disable_meta_optimizer": options.get("disable_meta_optimizer", False)}
            tf.config.optimizer.set_experimental_options(restored)
    return data, emitter, results
