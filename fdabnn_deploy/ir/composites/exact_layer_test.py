"""The formula of exact layers, their standard operators and the PyTorch kernel give the same bits, within the bounds."""

from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.composites import ExactConv2d, ExactLayer, ExactLinear, OperandFormat, decompose
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import FloatArray, GraphError
from fdabnn_deploy.ir.ops.base import BATCH
from fdabnn_deploy.ir.ranges import uniform
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.runtimes.torch_graph import run_operator

PRODUCTS = {
    1: ((0, 0),),
    2: ((0, 0), (0, 1)),
    3: ((0, 0), (1, 0), (0, 1)),
    6: ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)),
}
FORMATS = {
    1: OperandFormat((-3.0, 2.5), (4,)),
    2: OperandFormat(None, (4,)),
    3: OperandFormat((-3.0, 2.5), (4, 9)),
    6: OperandFormat((-3.0, 2.5), (4, 9, None)),
}


def draw(seed: int, parts: int, *, dense: bool) -> tuple[ExactLayer, FloatArray]:
    """A layer with small slices, every sum of which is exact, and an operand on a grid of 2^-12."""
    rng = np.random.default_rng(seed)
    shape = (5, 6) if dense else (4, 3, 3, 2)

    def some(*size: int) -> FloatArray:
        return (rng.integers(-16, 17, size) / 16).astype(np.float32)

    weights = tuple(some(*shape) for _ in range(3))
    biases = some(shape[0]), np.zeros(shape[0], np.float32), some(shape[0])
    common = (FORMATS[parts], weights, biases, PRODUCTS[parts])
    operand = (6,) if dense else (3, 7, 6)
    x = (rng.integers(-(4 << 12), 4 << 12, (3, *operand)) / (1 << 12)).astype(np.float32)
    if dense:
        return ExactLinear(*common), x
    return ExactConv2d(*common, stride=(2, 1), padding=(1, 0), dilation=(1, 2)), x


def graph_of(layer: ExactLayer, shape: tuple[int, ...]) -> Graph:
    return Graph([Node("x", ops.Input(shape)), Node("y", layer, ("x",), "net.conv", "net.py:3")], ["y"])


@pytest.mark.parametrize("dense", [False, True], ids=["convolution", "dense"])
@pytest.mark.parametrize("parts", PRODUCTS)
@pytest.mark.parametrize("seed", range(4))
def test_formula_operators_and_kernel_agree_bit_for_bit(seed: int, parts: int, dense: bool) -> None:
    layer, x = draw(seed, parts, dense=dense)
    graph = graph_of(layer, x.shape[1:])
    standard = decompose(graph)
    expected = layer.reference(x)
    assert expected.dtype == np.float32
    assert expected.shape == layer.infer(x.shape)
    assert standard.shape("y") == graph.shape("y")
    for found in (*evaluate(standard, [x]), *evaluate(graph, [x]), run_operator(layer, [x])):
        np.testing.assert_array_equal(found.view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("parts", PRODUCTS)
@pytest.mark.parametrize("seed", range(4))
def test_values_lie_within_the_bounds_and_on_the_grid(seed: int, parts: int) -> None:
    layer, x = draw(seed, parts, dense=False)
    shape = (BATCH, *x.shape[1:])
    bounds = layer.bounds([uniform(-4, 4, 12, x.shape[1])], [shape], layer.infer(shape))
    y = layer.reference(x).astype(np.float64)
    assert np.all(y.min(axis=(0, 2, 3)) >= bounds.low)
    assert np.all(y.max(axis=(0, 2, 3)) <= bounds.high)
    assert np.all(y * 2.0**bounds.grid == np.rint(y * 2.0**bounds.grid))


def test_slices_add_up_to_the_limited_operand() -> None:
    x = np.array([-7.0, -0.7654321, 0.1234567, 9.0], np.float32)
    slices = OperandFormat((-2.0, 2.0), (3, 11, None)).slices(x)
    assert [float(value) for value in slices[0]] == [-2.0, -0.75, 0.125, 2.0]
    np.testing.assert_array_equal(sum(part.astype(np.float64) for part in slices), np.clip(x, -2, 2))


def test_names_and_origin_of_the_standard_operators() -> None:
    layer, x = draw(0, 6, dense=False)
    standard = decompose(graph_of(layer, x.shape[1:]))
    assert [node.name for node in standard] == [
        *("x", "y/limited", "y/on_grid", "y/remainder", "y/x1", "y/remainder2"),
        *("y/x0w2", "y/x1w1", "y/rest", "y/x2w0", "y/rest2", "y/x0w1", "y/rest3", "y/x1w0", "y/rest4"),
        *("y/x0w0", "y"),
    ]
    assert {(node.module, node.source) for node in standard if node.name != "x"} == {("net.conv", "net.py:3")}


@pytest.mark.parametrize(
    ("exponents", "products"),
    [((None, 3), ((0, 0),)), ((3,), ((0, 0), (1, 0))), ((3,), ((0, 1),)), ((3,), ())],
    ids=["whole slice in front", "no such slice", "first product missing", "no product"],
)
def test_impossible_layers_are_refused(
    exponents: tuple[int | None, ...], products: tuple[tuple[int, int], ...]
) -> None:
    weight, bias = np.ones((2, 3), np.float32), np.zeros(2, np.float32)
    with pytest.raises(GraphError):
        ExactLinear(OperandFormat(None, exponents), (weight, weight), (bias, bias), products)
