from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.array_types import Pair
from fdabnn_deploy.ir.expression import Expression, literal
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.pass_testing import Build, check, images, kinds
from fdabnn_deploy.transforms.signs.recognise_binary import judge, recognise_binary


def binarised(
    shape: tuple[int, ...], seed: int = 0, scales: object = None, zeros: bool = False
) -> Expression:
    """`sign(w) * s`, with s per output channel."""
    latent = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    if zeros:
        latent.flat[3] = 0
    w = Expression("parameter", (), latent, "w")
    sign = Expression("sign", (w,), np.sign(latent))
    s = np.asarray(scales if scales is not None else 0.5, dtype=np.float32).reshape(
        -1, *[1] * (len(shape) - 1)
    )
    return Expression("mul", (sign, literal(s)), np.sign(latent) * s)


def conv(weight: Expression, bias: object = None) -> ops.TrainedConv2d:
    vector = None if bias is None else np.asarray(bias, dtype=np.float32)
    return ops.TrainedConv2d(weight, vector, (1, 1), (1, 1), (1, 1), 1)


def test_conv_with_scales_and_bias() -> None:
    b = Build(3, 4, 4)
    weight = binarised((4, 3, 3, 3), scales=[0.5, -0.25, 2.0, 0.0])
    outcome = check(
        recognise_binary, b.graph(b(conv(weight, [1, 0, -1, 3]), b(ops.Sign(), "x"))), applied=1, ulps=1
    )
    assert kinds(outcome.graph) == ["Input", "Sign", "BinaryConv2d", "Affine"]
    affine = outcome.graph.nodes_of(ops.Affine)[0].op
    assert isinstance(affine, ops.Affine)
    np.testing.assert_array_equal(affine.scale, [0.5, 0.25, 2.0, 0.0])


@pytest.mark.parametrize("gain", [2.0, -2.0])
def test_scaled_signs_as_input(gain: float) -> None:
    b = Build(3, 4, 4)
    scaled = b(ops.Affine(np.full(3, gain), np.zeros(3)), b(ops.Sign(), "x"))
    outcome = check(recognise_binary, b.graph(b(conv(binarised((2, 3, 3, 3))), scaled)), applied=1)
    assert kinds(outcome.graph) == ["Input", "Sign", "BinaryConv2d", "Affine"]
    assert isinstance(outcome.graph.nodes_of(ops.BinaryConv2d)[0].op, ops.BinaryConv2d)


def test_dense_layer() -> None:
    b = Build(3, 2, 2)
    sign = b(ops.Sign(), b(ops.Reshape((12,)), "x"))
    outcome = check(
        recognise_binary, b.graph(b(ops.TrainedLinear(binarised((5, 12)), None), sign)), applied=1
    )
    assert kinds(outcome.graph) == ["Input", "Reshape", "Sign", "BinaryLinear", "Affine"]
    assert isinstance(outcome.graph.nodes_of(ops.BinaryLinear)[0].op, ops.BinaryLinear)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("gain", [1.0, -0.5])
@pytest.mark.parametrize(
    ("zeros", "sign"), [(True, ops.Sign()), (False, ops.TorchSign()), (True, ops.TorchSign())]
)
def test_three_values_are_two_binary_layers(groups: int, gain: float, zeros: bool, sign: Op) -> None:
    b = Build(4, 4, 4)
    scaled = b(ops.Affine(np.full(4, gain), np.zeros(4)), b(sign, "x"))
    layer = replace(conv(binarised((4, 4 // groups, 3, 3), zeros=zeros), [1, 0, -1, 3]), groups=groups)
    graph = b.graph(b(layer, scaled))
    verdict, _ = judge(graph, graph[graph.outputs[0]])
    count = 4 if zeros and isinstance(sign, ops.TorchSign) else 2
    assert verdict.binary_layers == count
    assert f"{count} binary layers" in verdict.reason
    outcome = check(recognise_binary, graph, applied=1)
    assert kinds(outcome.graph).count("BinaryConv2d") == count
    assert "TorchSign" not in kinds(outcome.graph)


def test_stored_weights_with_three_values() -> None:
    stored = literal(np.random.default_rng(0).choice([-0.5, 0, 0.5], size=(3, 12)).astype(np.float32))
    b = Build(12, 1, 1)
    graph = b.graph(b(ops.TrainedLinear(stored, None), b(ops.Sign(), b(ops.Reshape((12,)), "x"))))
    outcome = check(recognise_binary, graph, applied=1)
    assert kinds(outcome.graph).count("BinaryLinear") == 2


def close(graph: Graph) -> Graph:
    """The graph with its layer recognised, compared absolutely: terms of opposite sign cancel."""
    outcome = recognise_binary(graph)
    assert outcome.applied == 1
    x = images(graph)
    np.testing.assert_allclose(evaluate(outcome.graph, [x])[0], evaluate(graph, [x])[0], atol=2e-5)
    return outcome.graph


def two_levels(shape: tuple[int, ...], seed: int = 0) -> Expression:
    """`sign(w) * s + t`, with s and t per output channel."""
    rng = np.random.default_rng(seed)
    sign = binarised(shape, seed, scales=1.0)
    s, t = (rng.uniform(0.1, 1, (shape[0], *[1] * (len(shape) - 1))).astype(np.float32) for _ in range(2))
    scaled = Expression("mul", (sign, literal(s)), sign.value * s)
    return Expression("add", (scaled, literal(t)), scaled.value + t)


VALUES = [(0.75, 0.25), (-0.5, 0.1), (0.5, 0.5), (-0.5, 0.5), (0.5, -0.5), (0.3, 0.0)]
"""Scale and offset of a sign; 0 is one of the values where both have one magnitude."""


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize(("groups", "stride", "padding", "dilation"), [
    (1, (1, 1), (1, 1), (1, 1)), (2, (2, 1), (2, 0), (1, 2)), (4, (1, 1), (0, 0), (1, 1)), (1, (3, 2), (1, 2), (2, 1)),
])  # fmt: skip
@pytest.mark.parametrize("weights", [binarised, two_levels, partial(binarised, zeros=True)])
@pytest.mark.parametrize("sign", [ops.Sign(), ops.TorchSign()])
def test_two_values_that_are_not_opposite(
    values: tuple[float, float],
    groups: int,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    weights: Any,
    sign: Op,
) -> None:
    b = Build(4, 7, 6)
    source = b(ops.Affine(np.full(4, values[0]), np.full(4, values[1])), b(sign, "x"))
    layer = ops.TrainedConv2d(
        weights((8, 4 // groups, 3, 3)), np.arange(8, dtype=np.float32), stride, padding, dilation, groups
    )
    graph = close(b.graph(b(layer, source)))
    assert not [node for node in graph.nodes_of(ops.Conv2d) if node.op.weight.shape[2:] != (1, 1)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("weights", [binarised, two_levels])
def test_dense_layers_of_two_values(values: tuple[float, float], weights: Any) -> None:
    b = Build(30, 1, 1)
    sign = b(ops.Sign(), b(ops.Reshape((30,)), "x"))
    source = b(ops.Affine(np.full(30, values[0]), np.full(30, values[1])), sign)
    layer = ops.TrainedLinear(weights((5, 30)), np.arange(5, dtype=np.float32))
    close(b.graph(b(layer, source)))


def test_an_offset_for_each_channel() -> None:
    b = Build(3, 4, 4)
    source = b(ops.Affine(np.array([0.5, -0.5, 0.5]), np.array([0.1, 0.5, -0.5])), b(ops.Sign(), "x"))
    graph = close(b.graph(b(conv(two_levels((2, 3, 3, 3))), source)))
    assert kinds(graph)[-2:] == ["Add", "PositionAffine"]


def test_a_sum_of_two_affines_of_one_sign() -> None:
    b = Build(3, 4, 4)
    sign = b(ops.Sign(), "x")
    low, high = (b(ops.Affine(np.full(3, a), np.full(3, c)), sign) for a, c in ((0.35, -0.35), (0.45, 0.45)))
    graph = close(b.graph(b(conv(binarised((2, 3, 3, 3))), b(ops.Add(), low, high))))
    assert "BinaryConv2d" in kinds(graph)


def test_padding_with_a_value_of_the_two_needs_no_constant_by_position() -> None:
    for scale, offset, expected in ((-0.5, 0.5, 1), (0.5, 0.5, 0)):
        b = Build(3, 4, 4)
        source = b(ops.Affine(np.full(3, scale), np.full(3, offset)), b(ops.Sign(), "x"))
        graph = close(b.graph(b(conv(binarised((2, 3, 3, 3))), source)))
        (layer,) = graph.nodes_of(ops.BinaryConv2d)
        assert isinstance(layer.op, ops.BinaryConv2d)
        assert layer.op.padding_value == expected
        assert not graph.nodes_of(ops.PositionAffine)


@pytest.mark.parametrize("groups", [1, 2])
def test_signs_negated_in_some_channels(groups: int) -> None:
    b = Build(4, 4, 4)
    flips = b(ops.Affine(np.array([0.5, -0.5, -0.5, 0.5]), np.zeros(4)), b(ops.Sign(), "x"))
    layer = replace(conv(binarised((4, 4 // groups, 3, 3))), groups=groups)
    check(recognise_binary, b.graph(b(layer, flips)), applied=1)


@pytest.mark.parametrize(
    ("weight", "signed", "reason"),
    [
        (
            literal(np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)),
            True,
            "not passed through a sign",
        ),
        (literal(np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)), False, "full precision"),
        (binarised((2, 3, 3, 3)), False, "its input is not a sign"),
    ],
)
def test_float_layers_say_why(weight: Expression, signed: bool, reason: str) -> None:
    b = Build(3, 4, 4)
    source = b(ops.Sign(), "x") if signed else "x"
    outcome = check(recognise_binary, b.graph(b(conv(weight), source)), applied=0)
    assert reason in outcome.skipped[0]
    assert isinstance(outcome.graph.nodes_of(ops.Conv2d)[0].op, ops.Conv2d)


@pytest.mark.parametrize(
    ("scale", "offset", "reason"),
    [
        ([1, -1, 2], [0, 0, 0], "another magnitude from channel to channel (1 to 2), not one s"),
        ([0, 0, 0], [1, 1, 1], "its input is the same for every input;"),
        ([1, 0, 1], [0, 1, 0], "the same for every input in 1 of 3 channels"),
    ],
)
def test_other_values_than_one_magnitude(scale: list[float], offset: list[float], reason: str) -> None:
    b = Build(3, 4, 4)
    source = b(ops.Affine(np.array(scale, float), np.array(offset, float)), b(ops.Sign(), "x"))
    graph = b.graph(b(conv(binarised((2, 3, 3, 3))), source))
    verdict = judge(graph, graph[graph.outputs[0]])[0]
    assert reason in f"{verdict.reason};"


def test_a_mask_of_several_comparisons_is_named() -> None:
    b = Build(3, 4, 4)
    above, below = (
        b(ops.Sign(), b(ops.Affine(np.ones(3), np.full(3, offset)), "x")) for offset in (0.0, -4.0)
    )
    mask = b(ops.Affine(np.full(3, 2.0), np.full(3, -1.0)), b(ops.Maximum(), above, below))
    outcome = check(recognise_binary, b.graph(b(conv(binarised((2, 3, 3, 3))), mask)), applied=0)
    assert "a mask or choice made of several comparisons or signs" in outcome.skipped[0]


def test_a_sum_of_signs_is_not_called_no_sign() -> None:
    b = Build(3, 4, 4)
    both = b(
        ops.Add(),
        b(ops.Affine(np.full(3, 0.5), np.full(3, 0.1)), b(ops.Sign(), "x")),
        b(ops.TorchSign(), "x"),
    )
    outcome = check(recognise_binary, b.graph(b(conv(binarised((2, 3, 3, 3))), both)), applied=0)
    assert "its input is made of signs, but takes other values than -s and +s" in outcome.skipped[0]


def test_a_residual_is_not_called_made_of_signs() -> None:
    b = Build(3, 4, 4)
    both = b(ops.Add(), b(ops.Sign(), "x"), "x")
    outcome = check(recognise_binary, b.graph(b(conv(binarised((2, 3, 3, 3))), both)), applied=0)
    assert "its weight is binary, its input is not a sign" in outcome.skipped[0]


@pytest.mark.parametrize(("scale", "offset"), [(1 / 3, 0.0), (-0.5, 0.0), (0.4, -0.3)])
@pytest.mark.parametrize(("low", "high", "steps"), [(0.0, 1.0, 3.0), (-1.0, 1.0, 3.5), (0.0, 1.0, 15.0)])
@pytest.mark.parametrize("weights", [binarised, two_levels, partial(binarised, zeros=True)])
def test_inputs_of_a_few_bits(
    scale: float, offset: float, low: float, high: float, steps: float, weights: Any
) -> None:
    b = Build(4, 5, 6)
    clamped = b(ops.Affine(np.full(4, steps), np.full(4, -0.5 if low else 0.0)), b(ops.Clamp(low, high), "x"))
    values = b(ops.Affine(np.full(4, scale), np.full(4, offset)), b(ops.RoundToGrid(0), clamped))
    layer = ops.TrainedConv2d(
        weights((6, 2, 3, 3)), np.arange(6, dtype=np.float32), (2, 1), (1, 1), (1, 1), 2
    )
    graph = close(b.graph(b(layer, values)))
    bits = 4 if steps == 15 else 2 if not low else 3
    verdict, _ = judge(b.graph(graph.outputs[0]), b.graph(graph.outputs[0])[graph.outputs[0]])
    assert verdict.binary_layers == bits * (2 if isinstance(weights, partial) else 1)
    assert not [node for node in graph.nodes_of(ops.Conv2d) if node.op.weight.shape[2:] != (1, 1)]  # type: ignore[attr-defined]


def test_more_than_eight_binary_layers_stay_float() -> None:
    b = Build(4, 5, 6)
    steps = b(ops.Affine(np.full(4, 31.0), np.zeros(4)), b(ops.Clamp(0.0, 1.0), "x"))
    layer = conv(binarised((2, 4, 3, 3), zeros=True))
    graph = b.graph(b(layer, b(ops.RoundToGrid(0), steps)))
    verdict, _ = judge(graph, graph[graph.outputs[0]])
    assert verdict.binary_layers == 0
    assert "10 binary layers" in verdict.reason
