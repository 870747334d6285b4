"""Differences of convolutions on stock runtimes: what the delegate takes over, what it leaves alone, and the bits of both."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy import delegate_path
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.native import library
from fdabnn_tflite.runtime.interpreter import InterpreterRuntime
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.native_stderr import native_stderr
from fdabnn_tflite.runtime.tensorflow_lite import TfliteRuntime
from fdabnn_tflite.runtime.tflite_file import parse_tflite
from fdabnn_tflite.saved_model import import_tensorflow

STOCK: tuple[InterpreterRuntime, ...] = (LiteRtRuntime(), TfliteRuntime())
SHAPE = (11, 14, 5)
Network = Callable[[Any, "Layers", Sequence[Any]], list[Any]]
"""From TensorFlow, layers to draw, and inputs of which the second is used only where there are two, to outputs."""


class Layers:
    """Draws convolutions of whole numbers, so that all sums are exact."""

    def __init__(self, tf: Any) -> None:
        self._tf, self._rng = tf, np.random.default_rng(0)

    def conv(
        self,
        x: Any,
        kernel: int = 3,
        stride: int = 1,
        padding: str = "SAME",
        *,
        dilation: int = 1,
        unit: float = 1.0,
        channels: int = 20,
    ) -> Any:
        """A convolution with bias, in units of its own: their differences round."""
        filters = self._rng.integers(-99, 100, (kernel, kernel, x.shape[-1], channels)) * unit
        bias = self._rng.integers(-999, 1000, channels) * unit
        filters, bias = filters.astype(np.float32), bias.astype(np.float32)
        return self._tf.nn.conv2d(x, filters, stride, padding, dilations=dilation) + bias


def chain(tf: Any, layers: Layers, x: Sequence[Any], **sizes: Any) -> Any:
    """Three convolutions of two digits, as exact numerics writes a layer."""
    first = tf.round(x[0])
    second = tf.round(first * 0.5)
    a, b = layers.conv(first, unit=2.0**-19, **sizes), layers.conv(second, unit=2.0**-9, **sizes)
    return layers.conv(first, **sizes) - (a - b)


def tree(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    digits = [tf.round(x[0] * 2.0**-i) for i in range(4)]
    a, b, c, d = (layers.conv(digit, unit=2.0 ** (-7 * i)) for i, digit in enumerate(digits))
    return [(a - b) - (c - d)]


def activated_tree(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    """TensorFlow's converter makes the activation part of the last difference; both sides remain."""
    return [tf.nn.relu(tree(tf, layers, x)[0])]


def two_layers(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    between = tf.round(tf.clip_by_value(chain(tf, layers, x), -40.0, 40.0))
    return [chain(tf, layers, [between], kernel=1, stride=2)]


def in_a_residual(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    return [x[0] - chain(tf, layers, x, channels=SHAPE[2])]


def of_inputs(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    return [layers.conv(x[0]) - layers.conv(x[1], unit=2.0**-14)]


def inputs_and_digits(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    """The convolution of the input comes first in the file: see `test_leaves_what_the_runtime_would_divide`."""
    return [layers.conv(tf.round(x[0])) - layers.conv(x[0], unit=2.0**-14)]


def used_twice(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    first = layers.conv(x[0])
    return [first - layers.conv(x[0], unit=2.0**-14), tf.nn.relu(first)]


def inner_output(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    first = layers.conv(x[0])
    return [first, first - layers.conv(x[0], unit=2.0**-14)]


def other_kernels(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    return [layers.conv(x[0], 3) - layers.conv(x[0], 5)]


def other_strides(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    return [layers.conv(x[0], 1, 2) - layers.conv(x[0][:, ::2, ::2], 1, 1)]


def activation(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    return [tf.nn.relu(layers.conv(x[0])) - layers.conv(x[0])]


def other_operand(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    return [layers.conv(x[0], channels=SHAPE[2]) - x[0]]


def broadcast(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    return [layers.conv(x[0]) - layers.conv(x[0][:, :1, :1], 1)]


def computed_filter(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    filters = tf.reshape(x[1][0, :3, :3], (3, 3, SHAPE[2], 1))
    return [tf.nn.conv2d(x[0], filters, 1, "SAME") - layers.conv(x[0], channels=1)]


def sums(tf: Any, layers: Layers, x: Sequence[Any]) -> list[Any]:
    return [layers.conv(x[0]) + layers.conv(tf.round(x[0] * 0.5))]


@dataclass(frozen=True)
class Case:
    """A network, and how many trees of it the delegate has to take."""

    network: Network
    taken: int
    inputs: int = 1


CASES = {
    "chain": Case(lambda tf, layers, x: [chain(tf, layers, x)], 1),
    "7x7 stride 2": Case(lambda tf, layers, x: [chain(tf, layers, x, kernel=7, stride=2)], 1),
    "1x1 stride 2": Case(
        lambda tf, layers, x: [chain(tf, layers, x, kernel=1, stride=2, padding="VALID")], 1
    ),
    "dilated": Case(lambda tf, layers, x: [chain(tf, layers, x, padding="VALID", dilation=2)], 1),
    "many channels": Case(lambda tf, layers, x: [chain(tf, layers, x, channels=130)], 1),
    "tree": Case(tree, 1),
    "activated tree": Case(activated_tree, 2),
    "two layers": Case(two_layers, 2),
    "in a residual": Case(in_a_residual, 1),
    "of inputs": Case(of_inputs, 1, 2),
    "inputs and digits": Case(inputs_and_digits, 0),
    "used twice": Case(used_twice, 0),
    "inner output": Case(inner_output, 0),
    "other kernels": Case(other_kernels, 0),
    "other strides": Case(other_strides, 0),
    "activation": Case(activation, 0),
    "other operand": Case(other_operand, 0),
    "broadcast": Case(broadcast, 0),
    "computed filter": Case(computed_filter, 0, 2),
    "sums": Case(sums, 0),
}


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The files that TensorFlow's converter makes of the cases, by name."""
    tf, _ = import_tensorflow()
    made = {}
    with native_stderr(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, case in CASES.items():
            function = tf.function(lambda *x, case=case: case.network(tf, Layers(tf), x), autograph=False)
            concrete = function.get_concrete_function(
                *(tf.TensorSpec([None, *SHAPE], tf.float32, name=f"x{i}") for i in range(case.inputs))
            )
            module = tf.Module()
            module.function = function
            made[name] = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()
    return made


def interpreter(
    runtime: InterpreterRuntime,
    data: bytes,
    options: dict[str, Any] | None,
    resolver: str = "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    **settings: Any,
) -> Any:
    """With the delegate and these options, or without it; float operators that are left run on TensorFlow Lite's own kernels."""
    package = runtime.package()
    delegates = [] if options is None else [package.load_delegate(delegate_path(), options)]
    with native_stderr():
        return package.interpreter(
            model_content=data,
            experimental_delegates=delegates,
            experimental_op_resolver_type=getattr(package.resolvers, resolver),
            **settings,
        )


def run(loaded: Any, inputs: Sequence[FloatArray]) -> list[FloatArray]:
    places = sorted(loaded.get_input_details(), key=lambda place: str(place["name"]))
    for place, values in zip(places, inputs, strict=True):
        loaded.resize_tensor_input(place["index"], values.shape)
    with native_stderr():
        loaded.allocate_tensors()
    for place, values in zip(places, inputs, strict=True):
        loaded.set_tensor(place["index"], values)
    loaded.invoke()
    return [loaded.get_tensor(place["index"]) for place in loaded.get_output_details()]


def taken(loaded: Any) -> int:
    """How many of the delegate's nodes there are."""
    return sum(operator["op_name"] == "DELEGATE" for operator in loaded._get_ops_details())


def images(case: Case, batch: int) -> list[FloatArray]:
    rng = np.random.default_rng(batch)
    return [rng.integers(-80, 81, (batch, *SHAPE)).astype(np.float32) for _ in range(case.inputs)]


def same_bits(a: Sequence[FloatArray], b: Sequence[FloatArray]) -> bool:
    return all(x.shape == y.shape and np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("runtime", STOCK, ids=lambda runtime: runtime.name)
@pytest.mark.parametrize("name", CASES)
def test_takes_what_it_can_and_changes_no_bits(
    name: str, runtime: InterpreterRuntime, files: dict[str, bytes]
) -> None:
    case, data = CASES[name], files[name]
    plain = interpreter(runtime, data, None)
    separate = interpreter(runtime, data, {"fuse": 0})
    fused = [interpreter(runtime, data, {"kernels": level, "threads": 1}) for level in library.levels()]
    fused += [
        interpreter(runtime, data, {}, num_threads=2),
        interpreter(runtime, data, {}, resolver="BUILTIN", num_threads=2),
    ]
    for batch in (1, 3):
        inputs = images(case, batch)
        expected = run(plain, inputs)
        assert all(np.any(values) for values in expected)
        for loaded in (separate, *fused):
            assert same_bits(run(loaded, inputs), expected)
    assert taken(separate) == 0
    assert [taken(loaded) for loaded in fused[:-1]] == [case.taken] * (len(fused) - 1)


def reordered(data: bytes, order: Sequence[int]) -> bytes:
    """The file with its operators in another order."""
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = model.subgraphs[0]
    graph.operators = [graph.operators[i] for i in order]
    builder = importlib.import_module("flatbuffers").Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize("runtime", STOCK, ids=lambda runtime: runtime.name)
def test_leaves_what_the_runtime_would_divide(runtime: InterpreterRuntime, files: dict[str, bytes]) -> None:
    """A convolution of an input, first in the file, would become a kernel of its own, in front of the digits of the others."""
    case, data = Case(lambda tf, layers, x: [], 1), files["inputs and digits"]
    names = [operator.name for operator in parse_tflite(data).operators]
    assert sorted(names) == ["CONV_2D", "CONV_2D", "ROUND", "SUB"]
    (rounding,) = (i for i, name in enumerate(names) if name == "ROUND")
    others = [i for i in range(4) if i != rounding]
    of_input = min(
        others, key=lambda i: parse_tflite(data).operators[i].inputs[0] != parse_tflite(data).inputs[0]
    )
    rest = [i for i in others if i != of_input]
    inputs = images(case, 2)
    for order, count in (([rounding, of_input, *rest], 1), ([of_input, rounding, *rest], 0)):
        changed = reordered(data, order)
        loaded = interpreter(runtime, changed, {})
        assert same_bits(run(loaded, inputs), run(interpreter(runtime, changed, None), inputs))
        assert taken(loaded) == count


@pytest.mark.parametrize("runtime", STOCK, ids=lambda runtime: runtime.name)
def test_inputs_of_different_batches_are_refused_with_the_remedy(
    runtime: InterpreterRuntime, files: dict[str, bytes]
) -> None:
    """TensorFlow Lite itself repeats the smaller one."""
    one, three = images(CASES["of inputs"], 1)[0], images(CASES["of inputs"], 3)[1]
    with pytest.raises(
        RuntimeError, match=r"FdabnnConvSum: .* differ in shape: load the delegate with the option fuse 0"
    ):
        run(interpreter(runtime, files["of inputs"], {}), [one, three])
    plain = run(interpreter(runtime, files["of inputs"], None), [one, three])
    assert same_bits(run(interpreter(runtime, files["of inputs"], {"fuse": 0}), [one, three]), plain)


@pytest.mark.parametrize("runtime", STOCK, ids=lambda runtime: runtime.name)
def test_an_interpreter_that_keeps_all_tensors_has_all_of_them(
    runtime: InterpreterRuntime, files: dict[str, bytes]
) -> None:
    data, inputs = files["chain"], images(CASES["chain"], 1)
    loaded = interpreter(runtime, data, {}, experimental_preserve_all_tensors=True)
    plain = interpreter(runtime, data, None, experimental_preserve_all_tensors=True)
    assert same_bits(run(loaded, inputs), run(plain, inputs))
    for index in range(len(parse_tflite(data).tensors)):
        assert same_bits([loaded.get_tensor(index)], [plain.get_tensor(index)])
