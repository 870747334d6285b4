"""The same binary convolution as Larq Compute Engine's converter makes it and its interpreter runs it."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from bench.layers import Problem
from bench.measure import Array, Contender
from fdabnn_deploy.measure.timer import looped
from fdabnn_tflite.runtime.native_stderr import native_stderr
from fdabnn_tflite.runtime.tflite_file import INT32, parse_tflite
from fdabnn_tflite.saved_model import import_tensorflow


class NotConvertedError(Exception):
    """LCE's converter did not make one binary convolution of the layer."""


def contenders(problem: Problem) -> list[Contender]:
    """LCE's default and indirect kernels, float and packed output, one thread.

    A time is that of the whole interpreter: LceQuantize, the convolution, and the copies in and out of its Python interface.
    """
    found = []
    for output in ("float", "packed"):
        model = layer_file(problem, output)
        for kernels in ("default", "indirect"):
            session = Session(model, kernels, [problem.values])
            expected = problem.expected_float if output == "float" else problem.expected_packed
            words = expected.dtype == np.uint32
            found.append(
                Contender(
                    f"LCE {kernels}, {output}",
                    "lce" if output == "float" else "lce packed",
                    looped(session.run),
                    session.words if words else session.output,
                    expected,
                )
            )
    return found


class Session:
    """A file on LCE's interpreter.

    Args:
        model: the file's bytes.
        kernels: default or indirect.
        inputs: as the file takes them, batch 1.
        xnnpack: whether XNNPACK computes what is not binary.
    """

    def __init__(self, model: bytes, kernels: str, inputs: list[Array], *, xnnpack: bool = False) -> None:
        import_tensorflow()
        from larq_compute_engine.tflite.python.interpreter_wrapper_lite import LiteInterpreter

        with native_stderr():
            self._interpreter: Any = LiteInterpreter(model, 1, False, kernels == "indirect", xnnpack)
        self._inputs = inputs
        self.outputs: list[Array] = []

    def run(self) -> None:
        """Once."""
        self.outputs = self._interpreter.predict(self._inputs)

    def output(self) -> Array:
        """The first output of the last run."""
        return self.outputs[0]

    def words(self) -> Array:
        """The same, as packed words."""
        return np.ascontiguousarray(self.outputs[0]).view(np.uint32)


def layer_file(problem: Problem, output: str) -> bytes:
    """A file from float values to the convolution's output, made by LCE's own converter.

    Args:
        problem: the layer.
        output: float, with zero padding, or packed, with one-padding: the signs of the float result as packed words.

    Raises:
        NotConvertedError: the file has other operators than LceQuantize and one LceBconv2d.
    """
    tf, converter = import_tensorflow()
    layer = problem.layer
    filters = np.ascontiguousarray(problem.filters.transpose(1, 2, 3, 0))
    before, behind = layer.padding

    def compute(x: Any) -> Any:
        signs = tf.where(x < 0, -1.0, 1.0)
        padding = "SAME"
        if output == "packed":
            # With SAME padding, even where it is none, the converter leaves the output float.
            padding = "VALID"
            if before + behind:
                edges = [[0, 0], [before, behind], [before, behind], [0, 0]]
                signs = tf.pad(signs, edges, constant_values=1.0)
        y = tf.nn.conv2d(signs, filters, layer.stride, padding) * problem.multiplier + problem.bias
        return tf.where(y < 0, -1.0, 1.0) if output == "packed" else y

    module = tf.Module()
    with native_stderr() as log, tempfile.TemporaryDirectory(prefix="fdabnn-bench-") as folder:
        spec = tf.TensorSpec(problem.values.shape, tf.float32)
        module.main = tf.function(compute, input_signature=[spec], autograph=False)
        tf.saved_model.save(module, folder, signatures={"serving_default": module.main})
        data = converter.convert_saved_model(folder)
    file = parse_tflite(data)
    convolutions = [operator for operator in file.operators if operator.name == "LceBconv2d"]
    if [operator.name for operator in file.operators[:2]] != ["LceQuantize", "LceBconv2d"]:
        raise NotConvertedError(f"{layer.name}: LCE's converter gives {file.op_counts()}: {log.text[-300:]}")
    result = convolutions[0].outputs[0]
    if (file.tensors[result].type == INT32) != (output == "packed"):
        raise NotConvertedError(f"{layer.name}: LCE's converter does not give {output} output")
    return file.patched((result,))
