from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.native.binary_layer import BinaryLayerParams, Finish
from fdabnn_deploy.native.layer_reference import binary_layer
from fdabnn_deploy.native.reference import pack
from fdabnn_deploy.prove.walk import prove
from fdabnn_onnx.prove.onnx import read_onnx
from fdabnn_onnx.prove.onnx_packed import expanded

onnx = pytest.importorskip("onnx")
helper = onnx.helper
floats = onnx.TensorProto.FLOAT


def model(filters: Any, further: dict[str, Any], outputs: list[str], **attributes: Any) -> Any:
    """`PackSigns` of x [2, 40, 7, 6], then a layer whose signs a second layer of one channel reads."""
    constants = {"filter": filters.view(np.int32), **further}
    names = [name if name in constants else "" for name in ("slope", "scale", "offset")]
    nodes = [
        helper.make_node("PackSigns", ["x"], ["s"], domain="fdabnn"),
        helper.make_node("BinaryConv", ["s", "filter", *names, "r"], outputs, domain="fdabnn", **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "packed",
        [
            helper.make_tensor_value_info("x", floats, [2, 40, 7, 6]),
            helper.make_tensor_value_info("r", floats, [2, 5, 4, 6]),
        ],
        [helper.make_tensor_value_info(outputs[0], floats, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("fdabnn", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.runtimes
def test_the_expansion_computes_what_the_operator_is_specified_to() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    generator = np.random.default_rng(0)
    filters = pack(generator.random((5, 3, 3, 40)) < 0.5)
    slope, offset = (generator.normal(size=5).astype(np.float32) for _ in range(2))
    packed = model(
        filters,
        {"slope": slope, "offset": offset},
        ["y"],
        channels=40,
        strides=[2, 1],
        pads=[1, 1, 1, 1],
        pad_value=1,
    )
    standard = expanded(packed)
    assert {node.domain for node in standard.graph.node} == {""}
    x, r = (
        generator.normal(size=(2, 40, 7, 6)).astype(np.float32),
        generator.normal(size=(2, 5, 4, 6)).astype(np.float32),
    )
    (found,) = onnxruntime.InferenceSession(standard.SerializeToString()).run(None, {"x": x, "r": r})
    params = BinaryLayerParams(40, 5, 1, 3, 3, 2, 1, 1, 1, 1, 1, 1, 1, 1, True)
    expected, _ = binary_layer(
        params, pack(x.transpose(0, 2, 3, 1) < 0), filters, Finish(slope, None, offset), r
    )
    np.testing.assert_array_equal(found, expected)


def failures(packed: Any) -> list[str]:
    """Why a model is not proved, but for what any input of a sign may be."""
    return [
        text for text in prove(read_onnx(packed.SerializeToString())).failures if "NaN may arrive" not in text
    ]


def test_a_packed_layer_is_proved_and_a_broken_one_is_not() -> None:
    filters = pack(np.random.default_rng(0).random((5, 3, 3, 40)) < 0.5)
    attributes = {"strides": [2, 1], "pads": [1, 1, 1, 1]}
    assert failures(model(filters, {}, ["y"], channels=40, **attributes)) == []
    assert failures(model(filters, {}, ["y"], channels=70, **attributes))
    unpacked = model(filters, {}, ["y"], channels=40, **attributes)
    unpacked.graph.node[1].input[0] = "filter"  # signs that no operator has packed
    assert failures(unpacked)


@pytest.mark.runtimes
def test_digits_are_proved_as_the_operators_that_they_are() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    limits = np.array([-2, 3], np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Digits", ["x", "limits"], ["g"], domain="fdabnn", exponents=[12]),
            helper.make_node("Digits", ["g"], ["y", "", "r"], domain="fdabnn", exponents=[3, 9]),
        ],
        "digits",
        [helper.make_tensor_value_info("x", floats, [1, 50])],
        [helper.make_tensor_value_info(name, floats, [1, 50]) for name in ("y", "r")],
        [onnx.numpy_helper.from_array(limits, "limits")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("fdabnn", 1)]
    packed = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    x = np.random.default_rng(0).normal(0, 3, (1, 50)).astype(np.float32)
    x[0, :3] = np.nan, np.inf, -np.inf
    standard = expanded(packed)
    assert {node.domain for node in standard.graph.node} == {""}
    y, r = onnxruntime.InferenceSession(standard.SerializeToString()).run(None, {"x": x})
    v = np.where(x < 3, x, np.float32(3))
    v = np.round(np.where(v > -2, v, np.float32(-2)) * 4096) / 4096
    np.testing.assert_array_equal(y, np.round(v * 8) / 8)
    rest = v - y
    np.testing.assert_array_equal(r, rest - np.round(rest * 512) / 512)
    assert prove(read_onnx(packed.SerializeToString())).failures == ()
    packed.graph.node[1].input[0] = "x"  # without limits and grid
    assert prove(read_onnx(packed.SerializeToString())).failures


def test_a_model_without_packed_operators_stays_as_it_is() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "plain",
        [helper.make_tensor_value_info("x", floats, [1])],
        [helper.make_tensor_value_info("y", floats, [1])],
    )
    plain = helper.make_model(graph)
    assert expanded(plain) is plain
