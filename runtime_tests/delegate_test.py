"""Files that LCE's own converter made of TensorFlow modules: the delegate gives the bits of LCE's optimised kernels on stock runtimes.

Grouped convolutions are compared with LCE's indirect kernels, the optimised ones that take them, and with its reference kernels. Many
small networks share a file: TensorFlow never gives back the memory that it took for a function.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from fdabnn_deploy import delegate_path
from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_deploy.native import library
from fdabnn_tflite.runtime.interpreter import SETTINGS, InterpreterRuntime
from fdabnn_tflite.runtime.lce import Kernels, LceRuntime, _extension
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.native_stderr import native_stderr
from fdabnn_tflite.runtime.tensorflow_lite import TfliteRuntime
from fdabnn_tflite.runtime.tflite_file import parse_tflite
from fdabnn_tflite.saved_model import import_tensorflow

STOCK: tuple[InterpreterRuntime, ...] = (LiteRtRuntime(), TfliteRuntime())
CHANNELS = (1, 3, 16, 31, 32, 33, 64, 65, 96, 130, 256)
Network = Callable[[Any, Any], list[Any]]
"""From TensorFlow and an input to outputs."""


@dataclass(frozen=True)
class Case:
    """A network, and how many binary convolutions and max-pools it has to become."""

    shape: tuple[int, int, int]
    network: Network
    convolutions: int
    max_pools: int = 0


def convert(cases: Sequence[Case], batch: int | None, **options: Any) -> bytes:
    """One file of all the cases, an input each, their outputs in order."""
    tf, converter = import_tensorflow()

    def function(*inputs: Any) -> dict[str, Any]:
        outputs = [y for case, x in zip(cases, inputs, strict=True) for y in case.network(tf, x)]
        return {f"y{i:03}": y for i, y in enumerate(outputs)}

    module = tf.Module()
    specs = [tf.TensorSpec([batch, *case.shape], tf.float32, name=f"x{i:03}") for i, case in enumerate(cases)]
    with native_stderr(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        module.main = tf.function(function, input_signature=specs, autograph=False)
        tf.saved_model.save(module, folder, signatures={"serving_default": module.main})
        data: bytes = converter.convert_saved_model(folder, **options)
    counts = parse_tflite(data).op_counts()
    assert counts["LceBconv2d"] == sum(case.convolutions for case in cases)
    assert counts.get("LceBMaxPool2d", 0) == sum(case.max_pools for case in cases)
    return data


def sign(tf: Any, x: Any) -> Any:
    return tf.where(x < 0, -1.0, 1.0)


def signs(rng: np.random.Generator, *shape: int) -> FloatArray:
    return rng.choice(np.array([-1, 1], np.float32), shape)


def drawn_convolution(rng: np.random.Generator, groups: int = 1) -> Case:
    """Any kernel, stride, dilation, padding, activation or multiplier and bias; float or packed output, sometimes by way of a max-pool."""
    c_in, c_out = (int(c) for c in rng.choice(CHANNELS, 2))
    if groups > 1:
        c_in, c_out = 32 * groups * int(rng.integers(1, 4)), groups * int(rng.integers(1, 40))
    kernel = rng.integers(1, 6, 2).tolist()
    strides = rng.integers(1, 4, 2).tolist()
    dilations = rng.integers(1, 4, 2).tolist() if rng.random() < 0.3 else [1, 1]
    strides = [1, 1] if dilations != [1, 1] else strides
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    height, width = (r + int(rng.integers(0, 9)) for r in reach)
    padding = str(rng.choice(["VALID", "SAME", "ONE"]))
    filters = signs(rng, *kernel, c_in // groups, c_out)
    multiplier, bias = (rng.standard_normal(c_out).astype(np.float32) for _ in range(2))
    affine = rng.random() < 0.6
    activation = str(rng.choice(["relu", "relu6", "relu_n1_to_1"])) if rng.random() < 0.3 else None
    activation = None if affine or padding == "SAME" else activation
    packed = padding != "SAME" and rng.random() < 0.4
    pooled = packed and rng.random() < 0.5
    second = signs(rng, 1, 1, c_out, 5)

    def network(tf: Any, x: Any) -> list[Any]:
        y = sign(tf, x)
        if padding == "ONE":
            y = tf.pad(y, [[0, 0], *_same((height, width), reach, strides), [0, 0]], constant_values=1.0)
        y = tf.nn.conv2d(y, filters, strides, "SAME" if padding == "SAME" else "VALID", dilations=dilations)
        y = y * multiplier + bias if affine else y
        if activation is not None:
            y = {"relu": tf.nn.relu, "relu6": tf.nn.relu6}.get(
                activation, lambda v: tf.clip_by_value(v, -1.0, 1.0)
            )(y)
        y = tf.nn.max_pool2d(y, 2, 2, "SAME") if pooled else y
        return [tf.nn.conv2d(sign(tf, y), second, 1, "VALID")] if packed else [y]

    return Case((height, width, c_in), network, 1 + packed, int(pooled))


def _same(sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int]) -> list[list[int]]:
    """TensorFlow's SAME padding."""
    total = [max((-(-n // s) - 1) * s + r - n, 0) for n, r, s in zip(sizes, reach, strides, strict=True)]
    return [[t // 2, t - t // 2] for t in total]


def max_pools() -> list[Case]:
    """Binary max-pools of every kind, signs of `x > 0`, and signs that are outputs, which LCE unpacks."""
    rng = np.random.default_rng(7)

    def pooled(window: list[int], strides: list[int], padding: str, channels: int) -> Case:
        filters = signs(rng, 1, 1, channels, 9)

        def network(tf: Any, x: Any) -> list[Any]:
            return [
                tf.nn.conv2d(sign(tf, tf.nn.max_pool2d(x, window, strides, padding)), filters, 1, "VALID")
            ]

        return Case((9, 10, channels), network, 1, 1)

    def unpacked(channels: int) -> Case:
        filters = signs(rng, 3, 3, channels, 7)

        def network(tf: Any, x: Any) -> list[Any]:
            return [tf.nn.conv2d(sign(tf, x), filters, 1, "VALID"), sign(tf, x)]

        return Case((4, 5, channels), network, 1)

    def positive(tf: Any, x: Any) -> list[Any]:
        return [tf.nn.conv2d(tf.where(x > 0, 1.0, -1.0), signs(rng, 3, 3, 40, 6), 1, "VALID")]

    kinds = [([2, 2], [2, 2]), ([3, 2], [1, 2]), ([5, 5], [3, 3]), ([1, 1], [2, 2])]
    cases = [pooled(w, s, p, c) for w, s in kinds for p in ("SAME", "VALID") for c in (31, 64, 100)]
    return [*cases, *map(unpacked, (1, 32, 45)), Case((5, 6, 40), positive, 1)]


def order(data: bytes) -> list[int]:
    """Whose input each of the file's inputs is: LCE's converter does not keep the order."""
    file = parse_tflite(data)
    found = (re.search(r"x(\d{3})", file.tensors[index].name) for index in file.inputs)
    return [int(match[1]) for match in found if match]


def images(cases: Sequence[Case], count: int) -> list[FloatArray]:
    """Whole numbers, so that many values are zero, of either sign."""
    rng = np.random.default_rng(1)
    drawn = []
    for case in cases:
        height, width, channels = case.shape
        values = rng.integers(-2, 3, (count, channels, height, width)).astype(np.float32)
        drawn.append(np.where(rng.random(values.shape) < 0.1, -np.float32(0), values))
    return drawn


def check(cases: Sequence[Case], kernels: Sequence[Kernels], path: Path) -> None:
    data = convert(cases, None)
    path.write_bytes(data)
    inputs = images([cases[i] for i in order(data)], 5)
    expected = [LceRuntime().open(path, kernels=chosen).run(inputs) for chosen in kernels]
    for runtime in STOCK:
        seen = []
        for setting, session in runtime.settings(path):
            seen.append(setting)
            computed = session.run(inputs)
            for wanted in expected:
                for i, (a, b) in enumerate(zip(wanted, computed, strict=True)):
                    assert a.shape == b.shape
                    assert np.array_equal(a.view(np.uint32), b.view(np.uint32)), (runtime.name, setting, i)
        assert seen == [str(setting) for setting in SETTINGS]


@pytest.mark.parametrize("seed", range(2))
def test_convolutions_give_the_bits_of_lces_optimised_kernels(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    check([drawn_convolution(rng) for _ in range(40)], ("default", "indirect"), tmp_path / "model.tflite")


def test_grouped_convolutions_give_the_bits_of_lces_kernels(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    cases = [drawn_convolution(rng, groups) for groups in (2, 3, 4, 5) for _ in range(6)]
    check(cases, ("indirect",), tmp_path / "model.tflite")


def test_max_pools_bools_and_unpacked_signs(tmp_path: Path) -> None:
    check(max_pools(), ("default", "indirect", "reference"), tmp_path / "model.tflite")


def quantized() -> list[Case]:
    """int8 in front of a sign, with several zero points, behind a convolution, and behind a sign."""
    rng = np.random.default_rng(3)

    def case(low: float, high: float, c_out: int, activation: bool) -> Case:
        filters, second = signs(rng, 3, 3, 40, c_out), signs(rng, 3, 3, c_out, 8)
        multiplier, bias = (rng.standard_normal(c_out).astype(np.float32) * 0.05 for _ in range(2))

        def network(tf: Any, x: Any) -> list[Any]:
            def fake(v: Any) -> Any:
                return tf.quantization.fake_quant_with_min_max_args(v, low, high)

            y = tf.nn.conv2d(sign(tf, fake(x)), filters, 1, "VALID")
            y = fake(tf.nn.relu(y) if activation else y * multiplier + bias)
            pooled = fake(tf.nn.max_pool2d(y, 2, 1, "VALID"))
            z = tf.nn.conv2d(sign(tf, pooled), second, 1, "VALID")
            return [pooled, z]

        return Case((9, 8, 40), network, 2)

    ranges = [(-4.0, 4.0), (-3.0, 5.0), (-0.5, 6.0), (-100.0, 20.0), (0.0, 8.0)]
    return [case(*r, c, a) for r, c in zip(ranges, (33, 8, 64, 17, 96), strict=True) for a in (False, True)]


def on_lce(data: bytes, inputs: Sequence[NDArray[Any]], kernels: Kernels) -> list[NDArray[Any]]:
    interpreter = _extension().LiteInterpreter(data, 1, kernels == "reference", kernels == "indirect", False)
    return list(interpreter.predict(list(inputs)))


def on_stock(
    runtime: InterpreterRuntime, data: bytes, inputs: Sequence[NDArray[Any]], level: str | None = None
) -> list[NDArray[Any]]:
    """The tensors that the file calls its outputs, in its order."""
    file, package = parse_tflite(data), runtime.package()
    options = {} if level is None else {"kernels": level}
    interpreter = package.interpreter(
        model_content=data, experimental_delegates=[package.load_delegate(delegate_path(), options)]
    )
    interpreter.allocate_tensors()
    for index, values in zip(file.inputs, inputs, strict=True):
        interpreter.set_tensor(index, values)
    interpreter.invoke()
    return [interpreter.get_tensor(index) for index in file.outputs]


def binary_operators(data: bytes) -> tuple[bytes, list[str]]:
    """The file with all the outputs of LCE's operators as its outputs, without its float operators' roundings, and who computes them."""
    file = parse_tflite(data)
    found = [
        (
            index,
            f"{operator.name}, type {file.tensors[operator.inputs[0]].type} to {file.tensors[index].type}",
        )
        for operator in file.operators
        if operator.name.startswith("Lce")
        for index in operator.outputs
    ]
    return file.patched(tuple(index for index, _ in found)), [what for _, what in found]


@pytest.mark.parametrize("runtime", STOCK, ids=lambda runtime: runtime.name)
def test_int8(runtime: InterpreterRuntime) -> None:
    cases = quantized()
    data, operators = binary_operators(convert(cases, 1))
    int8, int32, float32 = 9, 2, 0
    assert {
        f"LceQuantize, type {int8} to {int32}",
        f"LceBconv2d, type {int32} to {int8}",
        f"LceBconv2d, type {int32} to {float32}",
    } <= set(operators)
    rng = np.random.default_rng(4)
    inputs = [rng.normal(0, 3, (1, *cases[i].shape)).astype(np.float32) for i in order(data)]
    computed = on_stock(runtime, data, inputs)
    for kernels in get_args(Kernels):
        for what, a, b in zip(operators, on_lce(data, inputs, kernels), computed, strict=True):
            assert np.array_equal(a, b), what


def edited(data: bytes, edit: Callable[[Any, Any], None]) -> bytes:
    """The file after `edit(schema, model)`, for what LCE's converter does not write."""
    # Comes with TensorFlow, without type information.
    import flatbuffers  # type: ignore[import-untyped]
    from larq_compute_engine.mlir.python import tflite_schema as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    edit(schema, model)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def operators_of(model: Any, name: bytes) -> list[Any]:
    return [
        op for op in model.subgraphs[0].operators if model.operatorCodes[op.opcodeIndex].customCode == name
    ]


def with_unpacked_type(data: bytes, kind: str, scale: float, zero_point: int) -> bytes:
    """The file with another type behind its LceDequantize: LCE's converter writes only floats."""

    def edit(schema: Any, model: Any) -> None:
        for operator in operators_of(model, b"LceDequantize"):
            tensor = model.subgraphs[0].tensors[operator.outputs[0]]
            tensor.type = getattr(schema.TensorType, kind)
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([scale], np.float32)
            tensor.quantization.zeroPoint = np.array([zero_point], np.int64)

    return edited(data, edit)


def test_signs_are_unpacked_to_every_type() -> None:
    rng = np.random.default_rng(5)
    cases = [case for case in max_pools() if case.max_pools == 0]
    data, operators = binary_operators(convert(cases, 1))
    assert sum(name.startswith("LceDequantize") for name in operators) == 3
    inputs = [rng.normal(0, 3, (1, *cases[i].shape)).astype(np.float32) for i in order(data)]
    kinds = [("BOOL", 1.0, 0), ("INT8", 0.25, 3), ("INT8", 0.4, -7), ("INT8", 0.005, 100), ("INT8", 100.0, 0)]
    for kind in kinds:
        typed = with_unpacked_type(data, *kind)
        expected = on_lce(typed, inputs, "default")
        assert sum(value.dtype != np.float32 and value.dtype != np.int32 for value in expected) == 3
        for runtime in STOCK:
            for what, a, b in zip(operators, expected, on_stock(runtime, typed, inputs), strict=True):
                assert a.dtype == b.dtype
                assert np.array_equal(a, b), (kind, what)


def test_int8_of_halves_and_beyond_the_limits() -> None:
    """Multipliers and biases of quarter and half steps: many values are halves, many are clipped, in both signs; at every level."""
    data, operators = binary_operators(convert(cases := quantized(), 1))
    for zero_point in (-128, -7, 0, 3, 127):
        check_int8(data, operators, cases, zero_point)


def check_int8(data: bytes, operators: list[str], cases: Sequence[Case], zero_point: int) -> None:
    rng = np.random.default_rng(200 + zero_point)
    scale = 2.0**-5

    def edit(schema: Any, model: Any) -> None:
        tensors, buffers = model.subgraphs[0].tensors, model.buffers
        for tensor in tensors:
            # All of them: a max-pool has one scale for what it reads and writes.
            if tensor.type == schema.TensorType.INT8:
                tensor.quantization.scale = np.array([scale], np.float32)
                tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
        for operator in operators_of(model, b"LceBconv2d"):
            if tensors[operator.outputs[0]].type != schema.TensorType.INT8:
                continue
            for index, step in zip(operator.inputs[2:4], (scale / 4, scale / 2), strict=True):
                # A tensor of its own: equal constants share one.
                count = int(tensors[index].shape[0])
                drawn = (rng.integers(-20, 21, count) * step).astype(np.float32)
                buffers[tensors[index].buffer].data = np.frombuffer(drawn.tobytes(), np.uint8)

    changed = edited(data, edit)
    inputs = [rng.normal(0, 3, (1, *cases[i].shape)).astype(np.float32) for i in order(changed)]
    expected = {kernels: on_lce(changed, inputs, kernels) for kernels in get_args(Kernels)}
    int8 = [value for value in expected["default"] if value.dtype == np.int8]
    assert len(int8) >= 10
    clipped = {-128, 127} & set(np.concatenate([value.ravel() for value in int8]).tolist())
    assert clipped if zero_point in {-128, 127} else len(clipped) == 2
    for level in library.levels():
        computed = on_stock(STOCK[0], changed, inputs, level)
        for kernels, wanted in expected.items():
            for what, a, b in zip(operators, wanted, computed, strict=True):
                assert np.array_equal(a, b), (kernels, level, what)


@pytest.mark.parametrize("runtime", STOCK, ids=lambda runtime: runtime.name)
def test_bits_behind_a_filter_s_last_channel_are_refused(runtime: InterpreterRuntime) -> None:
    """Levels would count them or not, and LCE's kernels do."""
    filters = signs(np.random.default_rng(9), 3, 3, 16, 8)
    case = Case((5, 5, 16), lambda tf, x: [tf.nn.conv2d(sign(tf, x), filters, 1, "VALID")], 1)
    data = convert([case], 1)

    def edit(_: Any, model: Any) -> None:
        (operator,) = operators_of(model, b"LceBconv2d")
        buffer = model.buffers[model.subgraphs[0].tensors[operator.inputs[1]].buffer]
        words = np.array(buffer.data, np.uint8).view(np.uint32)
        words[40] |= np.uint32(1 << 20)
        buffer.data = words.view(np.uint8)

    x = np.ones((1, 5, 5, 16), np.float32)
    assert np.array_equal(on_lce(data, [x], "default")[0], on_stock(runtime, data, [x])[0])
    with pytest.raises(RuntimeError, match=r"LceBconv2d.*its filter has bits behind its last channel"):
        on_stock(runtime, edited(data, edit), [x])
