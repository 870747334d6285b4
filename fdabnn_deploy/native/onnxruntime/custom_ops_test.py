"""The operators of the domain `fdabnn` in ONNX Runtime against NumPy, bit by bit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from fdabnn_deploy.native.binary_layer import BinaryLayerParams, Finish, Floats
from fdabnn_deploy.native.layer_reference import binary_layer
from fdabnn_deploy.native.onnxruntime.custom_ops_testing import Arrays, documented, open_node, words
from fdabnn_deploy.native.reference import pack

pytestmark = pytest.mark.runtimes


@settings(max_examples=50, deadline=None)
@given(
    st.one_of(
        st.tuples(st.integers(0, 3), st.integers(1, 70)),
        st.tuples(st.integers(0, 3), st.integers(1, 70), st.integers(1, 40)),
        st.tuples(st.integers(0, 3), st.integers(1, 70), st.integers(1, 9), st.integers(1, 9)),
    ),
    st.integers(0, 2**32 - 1),
)
def test_pack_signs(shape: tuple[int, ...], seed: int) -> None:
    values = np.random.default_rng(seed).choice(
        np.array([-1.5, -1e-45, -0.0, 0.0, 2.0, np.nan, np.inf, -np.inf], np.float32), shape
    )
    session = open_node("PackSigns", {"x": values}, {"s": TensorProto.INT32}, {}, threads=2)
    (found,) = session.run(None, {"x": values})
    np.testing.assert_array_equal(found, words(pack(np.moveaxis(values < 0, 1, -1))))


def layer(
    params: BinaryLayerParams, finish: Finish, residual: bool, seed: int, size: tuple[int, int, int]
) -> tuple[Arrays, Arrays, Arrays]:
    """Inputs of a call, constants, and the outputs that NumPy gives."""
    generator = np.random.default_rng(seed)
    depth = params.channels_in // params.groups
    # First what does not depend on the size.
    filters = pack(generator.random((params.channels_out, params.kernel_h, params.kernel_w, depth)) < 0.5)
    signs = pack(generator.random((*size, params.channels_in)) < 0.5)
    constants = {"filter": words(filters)}
    for name in ("slope", "scale", "offset"):
        if (value := getattr(finish, name)) is not None:
            constants[name] = value
    expected, _ = binary_layer(params, signs, filters, finish)
    extra = generator.normal(0, 30, expected.shape).astype(np.float32) if residual else None
    expected, next_signs = binary_layer(params, signs, filters, finish, extra)
    inputs: Arrays = {"signs": words(signs)}
    if extra is not None:
        inputs["residual"] = extra
    return inputs, constants, {"y": expected, "next": words(next_signs)}


def open_layer(
    params: BinaryLayerParams, inputs: Arrays, constants: Arrays, outputs: tuple[str, str], threads: int = 1
) -> onnxruntime.InferenceSession:
    """A session of one `BinaryConv`."""
    names = ("signs", "filter", "slope", "scale", "offset", "residual")
    attributes = {
        "channels": params.channels_in,
        "group": params.groups,
        "strides": [params.stride_h, params.stride_w],
        "dilations": [params.dilation_h, params.dilation_w],
        "pads": [params.pad_top, params.pad_left, params.pad_bottom, params.pad_right],
        "pad_value": params.pad_value,
    }
    return open_node(
        "BinaryConv",
        {name: {**inputs, **constants}.get(name) for name in names},
        dict(zip(outputs, (TensorProto.FLOAT, TensorProto.INT32), strict=True)),
        constants,
        threads,
        **attributes,
    )


def constants_of(channels: int, seed: int) -> tuple[Floats, ...]:
    generator = np.random.default_rng(seed)
    return tuple(generator.normal(0, 2, channels).astype(np.float32) for _ in range(3))


LAYERS = {
    "3x3": BinaryLayerParams(64, 48, 1, 3, 3, pad_top=1, pad_left=1, pad_bottom=1, pad_right=1, planes=True),
    "stride": BinaryLayerParams(
        40,
        70,
        *(1, 3, 3, 2, 2),
        pad_top=1,
        pad_left=1,
        pad_bottom=1,
        pad_right=1,
        pad_value=1,
        planes=True,
    ),
    "groups": BinaryLayerParams(96, 6, 3, 5, 3, 1, 2, 2, 1, pad_top=3, pad_right=2, planes=True),
    "dense": BinaryLayerParams(520, 10, planes=True),
}


@pytest.mark.parametrize("outputs", [("y", "next"), ("y", ""), ("", "next")])
@pytest.mark.parametrize("has", [(True, True, True, True), (False, False, True, False), (False,) * 4])
@pytest.mark.parametrize("name", LAYERS)
def test_binary_conv(name: str, has: tuple[bool, ...], outputs: tuple[str, str]) -> None:
    params = LAYERS[name]
    values = constants_of(params.channels_out, 1)
    finish = Finish(*(value if is_ else None for value, is_ in zip(values, has, strict=False)))
    size = (2, 1, 1) if name == "dense" else (2, 9, 11)
    inputs, constants, expected = layer(params, finish, has[3], 2, size)
    session = open_layer(params, inputs, constants, outputs)
    found = dict(zip(filter(None, outputs), session.run(None, inputs), strict=True))
    for key, value in found.items():
        np.testing.assert_array_equal(value.view(np.uint32), expected[key].view(np.uint32))


def test_one_session_for_many_sizes_threads_and_calls() -> None:
    """Sizes change between calls, calls run at the same time, and the session has threads."""
    params, values = LAYERS["3x3"], constants_of(48, 3)
    sizes = [(1, 9, 9), (2, 30, 40), (1, 1, 1), (0, 5, 5), (1, 9, 9)]
    cases = [layer(params, Finish(*values), True, 4, size) for size in sizes]
    session = open_layer(params, cases[0][0], cases[0][1], ("y", "next"), threads=3)

    def work(index: int) -> bool:
        inputs, _, expected = cases[index % len(cases)]
        found = session.run(None, inputs)
        return all(
            np.array_equal(value.view(np.uint32), expected[key].view(np.uint32))
            for key, value in zip(("y", "next"), found, strict=True)
        )

    assert all(work(index) for index in range(10))
    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(work, range(60)))


def test_the_specifications_say_what_the_reference_says() -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=(2, 70, 5, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        documented("pack-signs.md", "pack_signs")(values), words(pack(values.transpose(0, 2, 3, 1) < 0))
    )
    params = BinaryLayerParams(
        *(70, 5, 1, 3, 2, 2, 1, 1, 3), pad_top=1, pad_right=2, pad_bottom=2, pad_value=1, planes=True
    )
    inputs, constants, expected = layer(params, Finish(), False, 7, (2, 6, 7))
    found = documented("binary-conv.md", "binary_conv")(
        inputs["signs"], constants["filter"], 70, (2, 1), (1, 3), (1, 0, 2, 2), 1
    )
    np.testing.assert_array_equal(found, expected["y"])


def whole_numbers(generator: np.random.Generator, *shape: int) -> Floats:
    """Digits as exact numerics has them: every sum of their products is exact."""
    return generator.integers(-63, 64, shape).astype(np.float32)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 70),
    st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 2)] * 4, *[st.integers(0, 2)] * 4),
    st.tuples(st.integers(0, 2), st.integers(5, 12), st.integers(5, 12)),
    st.integers(0, 2**32 - 1),
)
def test_conv_difference(
    channels: int, outputs: int, geometry: tuple[int, ...], size: tuple[int, int, int], seed: int
) -> None:
    generator = np.random.default_rng(seed)
    kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, *pads = geometry
    reaches = ((kernel_h - 1) * dilation_h, (kernel_w - 1) * dilation_w) * 2
    pads = [min(pad, reach) for pad, reach in zip(pads, reaches, strict=True)]
    filters = whole_numbers(generator, 2, outputs, channels, kernel_h, kernel_w)
    biases = whole_numbers(generator, 4, outputs)
    batch, height, width = size
    xs = [whole_numbers(generator, batch, channels, height, width) for _ in range(2)]
    attributes = {
        "term_inputs": [0, 1, 0, 1],
        "term_filters": [1, 1, 0, 0],
        "expression": [0, 1, 2, -1, -1, 3, -1],
        "strides": [stride_h, stride_w],
        "dilations": [dilation_h, dilation_w],
        "pads": pads,
    }
    constants: Arrays = {"filters": filters, "biases": biases}
    inputs: Arrays = {"x0": xs[0], "x1": xs[1]}
    session = open_node(
        "ConvDifference", {**constants, **inputs}, {"y": TensorProto.FLOAT}, constants, 2, **attributes
    )
    expected = documented("conv-difference.md", "conv_difference")(filters, biases, xs, **attributes)
    for _ in range(2):
        (found,) = session.run(None, inputs)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"expression": [0, -1]}, "expression"),
        ({"expression": [0, 1]}, "expression"),
        ({"expression": [0, 2, -1]}, "expression"),
        ({"expression": []}, "expression"),
        ({"term_inputs": [0, 4]}, "attribute term_inputs is 4"),
        ({"term_inputs": [0, 2]}, "one is missing"),
        ({"term_filters": [0]}, "attribute term_filters has 1 values instead of 2"),
        ({"term_filters": [0, 1]}, "attribute term_filters is 1"),
        ({"pads": [-1, 0, 0, 0]}, "attribute pads is -1"),
        ({"pads": [1, 0, 0, 0]}, "its padding is negative, or not smaller than its dilated filter"),
        ({"strides": [0, 1]}, "attribute strides is 0"),
    ],
)
def test_refused_conv_differences(change: dict[str, Any], message: str) -> None:
    constants: Arrays = {
        "filters": np.ones((1, 3, 2, 1, 1), np.float32),
        "biases": np.zeros((2, 3), np.float32),
    }
    inputs: Arrays = {"x0": np.ones((1, 2, 4, 4), np.float32), "x1": np.ones((1, 2, 4, 4), np.float32)}
    attributes = {"term_inputs": [0, 1], "term_filters": [0, 0], "expression": [0, 1, -1], **change}
    with pytest.raises(Exception, match=message):
        open_node(
            "ConvDifference", {**constants, **inputs}, {"y": TensorProto.FLOAT}, constants, **attributes
        ).run(None, inputs)


def test_conv_difference_checks_shapes() -> None:
    constants: Arrays = {
        "filters": np.ones((1, 3, 2, 1, 1), np.float32),
        "biases": np.zeros((2, 3), np.float32),
    }
    inputs: Arrays = {"x0": np.ones((1, 2, 4, 4), np.float32), "x1": np.ones((1, 2, 4, 4), np.float32)}
    session = open_node(
        "ConvDifference",
        {**constants, **inputs},
        {"y": TensorProto.FLOAT},
        constants,
        term_inputs=[0, 1],
        term_filters=[0, 0],
        expression=[0, 1, -1],
    )
    with pytest.raises(Exception, match=r"X0 is \[1, 3, 4, 4\] and not \[N, 2, H, W\]"):
        session.run(None, {**inputs, "x0": np.ones((1, 3, 4, 4), np.float32)})
    with pytest.raises(Exception, match="its inputs differ in shape"):
        session.run(None, {**inputs, "x1": np.ones((1, 2, 4, 5), np.float32)})


def refused(change: dict[str, Any], message: str) -> None:
    """A layer whose inputs are as they should be but for the change is refused with these words."""
    params = LAYERS["3x3"]
    inputs, constants, _ = layer(params, Finish(*constants_of(48, 3)), True, 4, (1, 5, 5))
    free = {**inputs, **{key: value for key, value in change.items() if key in inputs}}
    fixed = {
        **constants,
        **{key: value for key, value in change.items() if key in constants and value is not None},
    }
    for key, value in change.items():
        if value is None:
            free[key] = fixed.pop(key)
    with pytest.raises(Exception, match=message):
        open_layer(params, free, fixed, ("y", "next")).run(None, free)


def test_refused_tensors() -> None:
    zeros = np.zeros((48, 3, 3, 3), np.int32)
    refused({"filter": zeros}, r"filter is \[48, 3, 3, 3\] and not \[O, kernel height, kernel width, 2\]")
    refused({"filter": zeros[0]}, r"filter is \[3, 3, 3\]")
    refused({"filter": None}, "filter is no constant")
    refused({"slope": None}, "slope is no constant")
    refused({"scale": np.ones(47, np.float32)}, r"scale is \[47\] and not \[48\]")
    refused({"signs": np.zeros((1, 5, 5, 3), np.int32)}, r"S is \[1, 5, 5, 3\] and not \[N, H, W, 2\]")
    refused({"signs": np.zeros((5, 5, 2), np.int32)}, r"S is \[5, 5, 2\]")
    refused(
        {"residual": np.zeros((1, 48, 5, 4), np.float32)},
        r"residual is \[1, 48, 5, 4\] and not \[1, 48, 5, 5\]",
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({}, "channels"),
        ({"channels": 0}, "attribute channels is 0"),
        ({"channels": 64, "group": 3}, "group does not divide channels"),
        ({"channels": 64, "strides": [1]}, "attribute strides has 1 values instead of 2"),
        ({"channels": 64, "pads": [-1, 0, 0, 0]}, "attribute pads is -1"),
        ({"channels": 64, "pads": [3, 0, 0, 0]}, "not smaller than its dilated filter"),
        ({"channels": 64, "pad_value": 2}, "attribute pad_value is 2"),
        ({"channels": 64, "dilations": [1 << 24, 1]}, "dilated filter is too large"),
    ],
)
def test_refused_attributes(attributes: dict[str, Any], message: str) -> None:
    signs, filters = np.zeros((1, 5, 5, 2), np.int32), np.zeros((4, 3, 3, 2), np.int32)
    with pytest.raises(Exception, match=message):
        open_node(
            "BinaryConv",
            {"s": signs, "w": filters},
            {"y": TensorProto.FLOAT},
            {"w": filters},
            **attributes,
        )


def test_a_filter_larger_than_its_input_is_refused() -> None:
    signs, filters = np.zeros((1, 2, 5, 2), np.int32), np.zeros((4, 3, 3, 2), np.int32)
    session = open_node(
        "BinaryConv", {"s": signs, "w": filters}, {"y": TensorProto.FLOAT}, {"w": filters}, channels=64
    )
    with pytest.raises(Exception, match="its input is smaller than its filter"):
        session.run(None, {"s": signs})


@pytest.mark.parametrize("channels", [16, 40, 100])
def test_bits_behind_the_last_channel_are_refused(channels: int) -> None:
    """Not every level would count them: of a filter when the session is made, of an input when it runs."""
    params = BinaryLayerParams(channels, 8, 1, 3, 3, planes=True)
    inputs, constants, expected = layer(params, Finish(), False, 0, (1, 5, 5))
    more = {name: value.copy() for name, value in {**inputs, **constants}.items()}
    for value in more.values():
        value[..., -1] |= np.int32(1 << 29)
    with pytest.raises(Exception, match="BinaryConv: its filter has bits behind its last channel"):
        open_layer(params, inputs, {"filter": more["filter"]}, ("y", ""))
    session = open_layer(params, inputs, constants, ("y", ""))
    with pytest.raises(Exception, match="BinaryConv: its input has bits behind its last channel"):
        session.run(None, {"signs": more["signs"]})
    np.testing.assert_array_equal(session.run(None, inputs)[0], expected["y"])
