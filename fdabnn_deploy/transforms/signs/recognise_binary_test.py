from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.expression import Expression, literal
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds
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


def test_zeros_among_the_weights_are_a_third_value() -> None:
    b = Build(3, 4, 4)
    graph = b.graph(b(conv(binarised((2, 3, 3, 3), zeros=True)), b(ops.Sign(), "x")))
    outcome = check(recognise_binary, graph, applied=0)
    assert "1 of its 54 weights are exactly 0" in outcome.skipped[0]
    assert kinds(outcome.graph) == ["Input", "Sign", "Conv2d"]


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
    verdict, _ = judge(graph, graph[graph.outputs[0]], "exact")
    count = 4 if zeros and isinstance(sign, ops.TorchSign) else 2
    assert verdict.binary_layers == count
    assert f"{count} binary layers" in verdict.reason
    outcome = check(partial(recognise_binary, sign_zero="exact"), graph, applied=1)
    assert kinds(outcome.graph).count("BinaryConv2d") == count
    assert "TorchSign" not in kinds(outcome.graph)


def test_stored_weights_with_three_values() -> None:
    stored = literal(np.random.default_rng(0).choice([-0.5, 0, 0.5], size=(3, 12)).astype(np.float32))
    b = Build(12, 1, 1)
    graph = b.graph(b(ops.TrainedLinear(stored, None), b(ops.Sign(), b(ops.Reshape((12,)), "x"))))
    assert kinds(check(recognise_binary, graph, applied=0).graph)[-1] == "Linear"
    exact = check(partial(recognise_binary, sign_zero="exact"), graph, applied=1)
    assert kinds(exact.graph).count("BinaryLinear") == 2


@pytest.mark.parametrize("groups", [1, 2])
def test_signs_negated_in_some_channels(groups: int) -> None:
    b = Build(4, 4, 4)
    flips = b(ops.Affine(np.array([0.5, -0.5, -0.5, 0.5]), np.zeros(4)), b(ops.Sign(), "x"))
    layer = replace(conv(binarised((4, 4 // groups, 3, 3))), groups=groups)
    check(recognise_binary, b.graph(b(layer, flips)), applied=1)


@pytest.mark.parametrize(
    ("weight", "signed", "affine", "reason"),
    [
        (
            literal(np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)),
            True,
            None,
            "not passed through a sign",
        ),
        (literal(np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)), False, None, "full precision"),
        (binarised((2, 3, 3, 3)), False, None, "its input is not a sign"),
        (binarised((2, 3, 3, 3)), True, (0.5, 0.5), "takes the values 0 and 1"),
    ],
)
def test_float_layers_say_why(
    weight: Expression, signed: bool, affine: tuple[float, float] | None, reason: str
) -> None:
    b = Build(3, 4, 4)
    source = b(ops.Sign(), "x") if signed else "x"
    if affine:
        source = b(ops.Affine(np.full(3, affine[0]), np.full(3, affine[1])), source)
    outcome = check(recognise_binary, b.graph(b(conv(weight), source)), applied=0)
    assert reason in outcome.skipped[0]
    assert isinstance(outcome.graph.nodes_of(ops.Conv2d)[0].op, ops.Conv2d)


@pytest.mark.parametrize(
    ("scale", "offset", "reason"),
    [
        ([1, -1, 2], [0, 0, 0], "another magnitude from channel to channel (1 to 2), not one s"),
        ([0, 0, 0], [1, 1, 1], "its input is the same for every input;"),
        ([1, 0, 1], [0, 1, 0], "the same for every input in 1 of 3 channels"),
        ([1, 1, 1], [0, 0, 0.5], "takes the values -0.5 and 1.5, not -s and +s"),
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
