"""Which limits and roundings become `Digits`, and that no bit changes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import NodeProto, helper

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.composites import ExactConv2d, ExactLinear, OperandFormat
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Op
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.packed.build_packed import build_packed
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntimeSession

pytestmark = pytest.mark.runtimes

INFO = ModelInfo("digits", (1,))
SHAPE = (3, 5, 5)


def packed(nodes: list[Node], *outputs: str) -> list[NodeProto]:
    """The nodes of the packed model, which gives the bits of the standard one."""
    graph = Graph([Node("x", ops.Input(SHAPE)), *nodes], outputs)
    x = (np.random.default_rng(0).integers(-80, 80, (2, *SHAPE)) / 16).astype(np.float32)
    x[0, 0, 0, :3] = -0.0, 1e-30, 100.0
    model = build_packed(graph, INFO, None)
    a, b = (
        OnnxRuntimeSession(m.SerializeToString(), "m", optimization="disabled").run([x])
        for m in (build_model(graph, INFO, None), model)
    )
    for expected, found in zip(a, b, strict=True):
        # Of -0, ONNX Runtime's `Where` makes +0.
        np.testing.assert_array_equal(found, expected)
    return list(model.graph.node)


def exponents(node: NodeProto) -> list[int]:
    return list(helper.get_attribute_value(node.attribute[0]))


@pytest.mark.parametrize("limits", [ops.Saturate(-2.0, 3.0), ops.Clamp(-2.0, 3.0)], ids=["saturate", "clamp"])
def test_limits_that_nobody_else_reads_are_inside(limits: Op) -> None:
    (node,) = packed([Node("v", limits, ("x",)), Node("y", ops.RoundToGrid(3), ("v",))], "y")
    assert (node.op_type, list(node.input), list(node.output)) == ("Digits", ["x", "y/limits"], ["y"])
    assert exponents(node) == [3]


@pytest.mark.parametrize("exponent", [3, 0, -2])
def test_a_rounding_alone(exponent: int) -> None:
    (node,) = packed([Node("y", ops.RoundToGrid(exponent), ("x",))], "y")
    assert (node.op_type, list(node.input), list(node.output)) == ("Digits", ["x"], ["y"])


def test_limits_that_others_read_stay() -> None:
    nodes = [Node("v", ops.Clamp(-2.0, 3.0), ("x",)), Node("y", ops.RoundToGrid(3), ("v",))]
    for outputs, further in ((("y", "v"), []), (("y", "n"), [Node("n", ops.Relu(), ("v",))])):
        kinds = [node.op_type for node in packed([*nodes, *further], *outputs)]
        assert kinds[:2] == ["Clip", "Digits"]


def test_a_limit_of_zero_stays() -> None:
    nodes = [Node("v", ops.Clamp(0.0, 3.0), ("x",)), Node("y", ops.RoundToGrid(3), ("v",))]
    assert [node.op_type for node in packed(nodes, "y")] == ["Clip", "Digits"]


def filters(seed: int, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return (np.random.default_rng(seed).integers(-8, 9, shape) / 8).astype(np.float32)


PRODUCTS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))


@pytest.mark.parametrize(
    ("operand", "outputs", "numbers"),
    [
        (OperandFormat((-2.0, 3.0), (3,)), ["y/on_grid"], [3]),
        (OperandFormat((-2.0, 3.0), (3, 9)), ["y/on_grid", "y/x1"], [3, 9]),
        (OperandFormat((-2.0, 3.0), (3, 9, None)), ["y/on_grid", "y/x1", "y/remainder2"], [3, 9]),
        (OperandFormat(None, (3, None)), ["y/on_grid", "y/remainder"], [3]),
    ],
    ids=["one slice", "two slices", "the last takes what is left", "no limits"],
)
def test_slices_are_one_operator(operand: OperandFormat, outputs: list[str], numbers: list[int]) -> None:
    products = tuple(product for product in PRODUCTS if product[0] < len(operand.exponents))
    weights, biases = (tuple(filters(seed, *size) for seed in range(3)) for size in ((4, 3, 3, 3), (4,)))
    layer = ExactConv2d(operand, weights, biases, products, padding=(1, 1))
    digits, difference = packed([Node("y", layer, ("x",))], "y")
    assert (digits.op_type, difference.op_type) == ("Digits", "ConvDifference")
    assert (list(digits.output), exponents(digits)) == (outputs, numbers)
    assert len(digits.input) == (1 if operand.limits is None else 2)


def test_limits_of_zero_in_front_of_slices_stay() -> None:
    layer = ExactConv2d(
        OperandFormat((0.0, 3.0), (3,)), (filters(0, 4, 3, 1, 1),), (filters(1, 4),), ((0, 0),)
    )
    nodes = packed([Node("y", layer, ("x",))], "y")
    assert [node.op_type for node in nodes] == ["Clip", "Digits", "Conv"]


@pytest.mark.parametrize("limits", [None, (-2.0, 3.0)])
def test_an_operand_that_needs_no_rounding(limits: tuple[float, float] | None) -> None:
    layer = ExactConv2d(
        OperandFormat(limits, (None,)), (filters(0, 4, 3, 1, 1),), (filters(1, 4),), ((0, 0),)
    )
    kinds = [node.op_type for node in packed([Node("y", layer, ("x",))], "y")]
    assert kinds == [*(["Clip"] if limits else []), "Conv"]


@pytest.mark.parametrize(
    "layer",
    [
        ExactConv2d(
            OperandFormat(None, (3,)),
            (filters(0, 3, 1, 3, 3), filters(1, 3, 1, 3, 3)),
            (filters(2, 3), filters(3, 3)),
            ((0, 0), (0, 1)),
            groups=3,
        ),
        ExactConv2d(
            OperandFormat(None, (3,)),
            (filters(0, 4, 3, 1, 1), filters(1, 4, 3, 1, 1)),
            (filters(2, 4), filters(3, 4)),
            ((0, 0), (0, 1)),
            padding=(1, 1),
        ),
    ],
    ids=["groups", "padding beyond the kernel"],
)
def test_what_no_difference_takes_is_standard_layers(layer: ExactConv2d) -> None:
    kinds = [node.op_type for node in packed([Node("y", layer, ("x",))], "y")]
    assert kinds == ["Digits", "Conv", "Conv", "Sub"]


def test_a_dense_layer_is_standard_layers() -> None:
    layer = ExactLinear(
        OperandFormat(None, (3, None)),
        (filters(0, 4, 75), filters(1, 4, 75)),
        (filters(2, 4), filters(3, 4)),
        ((0, 0), (1, 0), (0, 1)),
    )
    nodes = [Node("f", ops.Reshape((75,)), ("x",)), Node("y", layer, ("f",))]
    kinds = [node.op_type for node in packed(nodes, "y")]
    # Weights are integers in the file: the first product that reads a slice of them has its cast and scale in front.
    weights = ["Cast", "Mul"]
    assert kinds == ["Reshape", "Digits", *weights, "Gemm", *weights, "Gemm", "Sub", "Gemm", "Sub"]
