"""Which nodes become `Digits`, and that no bit changes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from fdabnn_deploy.ir.ops import FloatArray
from fdabnn_onnx.pack import DOMAIN
from fdabnn_onnx.pack_digits import pack_digits
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntimeSession

pytestmark = pytest.mark.runtimes

CONSTANTS = {
    "low": -2.0,
    "high": 3.0,
    "zero": 0.0,
    "u3": 8.0,
    "s3": 0.125,
    "u9": 512.0,
    "s9": 2.0**-9,
    "odd": 3.0,
}
SATURATION = [
    ("Less", ["x", "high"], "below"),
    ("Where", ["below", "x", "high"], "upper"),
    ("Greater", ["upper", "low"], "above"),
    ("Where", ["above", "upper", "low"], "v"),
]
CLIP = [("Clip", ["x", "low", "high"], "v")]
FIRST = [("Mul", ["v", "u3"], "a"), ("Round", ["a"], "b"), ("Mul", ["b", "s3"], "y0")]
SECOND = [
    *(
        ("Sub", ["v", "y0"], "r"),
        ("Mul", ["r", "u9"], "c"),
        ("Round", ["c"], "d"),
        ("Mul", ["d", "s9"], "y1"),
    ),
]
THIRD = [("Sub", ["r", "y1"], "r2")]

Nodes = list[tuple[str, list[str], str]]


def packed(nodes: Nodes, outputs: list[str]) -> list[NodeProto]:
    """The nodes of the packed model, which gives the bits of the other one."""
    shape = [2, 3, 5]
    graph = helper.make_graph(
        [helper.make_node(op, inputs, [output], name=output) for op, inputs, output in nodes],
        "digits",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in CONSTANTS.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    model: ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    result = pack_digits(model, DOMAIN)
    x: FloatArray = (np.random.default_rng(0).integers(-80, 80, shape) / 16).astype(np.float32)
    x[0, 0, 0], x[0, 0, 1] = -0.0, 1e-30
    a, b = (
        OnnxRuntimeSession(m.SerializeToString(), "m", optimization="disabled").run([x])
        for m in (model, result)
    )
    for expected, found in zip(a, b, strict=True):
        # Of -0, ONNX Runtime's `Where` makes +0.
        np.testing.assert_array_equal(found, expected)
    return list(result.graph.node)


@pytest.mark.parametrize("limits", [SATURATION, CLIP], ids=["saturation", "clip"])
def test_limits_digits_and_the_rest_are_one(limits: Nodes) -> None:
    (node,) = packed([*limits, *FIRST, *SECOND, *THIRD], ["y0", "y1", "r2"])
    assert node.op_type == "Digits"
    assert list(node.output) == ["y0", "y1", "r2"]
    assert list(node.input) == ["x", "y0/limits"]
    assert list(helper.get_attribute_value(node.attribute[0])) == [3, 9]


def test_a_grid_alone() -> None:
    (node,) = packed([("Mul", ["x", "u3"], "a"), *FIRST[1:]], ["y0"])
    assert (node.op_type, list(node.input), list(node.output)) == ("Digits", ["x"], ["y0"])


def test_the_last_digit_may_leave_nothing() -> None:
    (node,) = packed([*CLIP, *FIRST, *SECOND], ["y0", "y1"])
    assert list(node.output) == ["y0", "y1"]


def test_limits_that_others_read_stay() -> None:
    for nodes, outputs in (
        ([*CLIP, *FIRST, ("Neg", ["v"], "n")], ["y0", "n"]),
        ([*SATURATION, *FIRST], ["y0", "v"]),
        ([*SATURATION, *FIRST, ("Neg", ["upper"], "n")], ["y0", "n"]),
    ):
        kinds = [node.op_type for node in packed(nodes, outputs)]
        assert "Digits" in kinds
        assert kinds[0] in {"Clip", "Less"}


def test_a_remainder_that_others_read_is_the_last_one() -> None:
    nodes = packed([*CLIP, *FIRST, *SECOND, ("Neg", ["r"], "n")], ["y0", "y1", "n"])
    assert [node.op_type for node in nodes] == ["Digits", "Digits", "Neg"]
    assert list(nodes[0].output) == ["y0", "r"]
    assert list(nodes[1].input) == ["r"]


@pytest.mark.parametrize(
    "nodes",
    [
        [("Mul", ["x", "odd"], "a"), *FIRST[1:]],
        [("Mul", ["x", "u3"], "a"), FIRST[1], ("Mul", ["b", "s9"], "y0")],
        [("Mul", ["x", "u3"], "a"), ("Floor", ["a"], "b"), FIRST[2]],
    ],
    ids=["no power of two", "another step", "not rounded"],
)
def test_what_is_no_grid_stays(nodes: Nodes) -> None:
    assert "Digits" not in {node.op_type for node in packed(nodes, ["y0"])}


def test_a_clip_at_zero_stays() -> None:
    nodes = packed([("Clip", ["x", "zero", "high"], "v"), *FIRST], ["y0"])
    assert [node.op_type for node in nodes] == ["Clip", "Digits"]


def test_inner_values_that_are_outputs_stay() -> None:
    assert "Digits" not in {node.op_type for node in packed([*CLIP, *FIRST], ["y0", "b"])}
