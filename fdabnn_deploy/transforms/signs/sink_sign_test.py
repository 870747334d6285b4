from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    Concat,
    MaxPool2d,
    Op,
    Pad,
    Permute,
    Reshape,
    Sign,
    Slice,
    TorchSign,
)
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds
from fdabnn_deploy.transforms.signs.sink_sign import sink_sign


@pytest.mark.parametrize(
    "mover",
    [
        Reshape((12,)),
        Permute((2, 3, 1)),
        Slice(((0, 3, 1), (1, 2, 1), (0, 2, 1))),
        MaxPool2d((2, 2), (1, 1), (1, 1)),
        Pad(((0, 0), (1, 0), (1, 2)), 1.0),
        Pad(((0, 0), (1, 1), (1, 1)), -1.0),
    ],
)
def test_sign_goes_below(mover: Op) -> None:
    b = Build(3, 2, 2)
    outcome = check(sink_sign, b.graph(b(mover, b(Sign(), "x"))), applied=1)
    assert kinds(outcome.graph) == ["Input", mover.kind, "Sign"]


def test_zero_padding_of_signs_stays() -> None:
    b = Build(3, 2, 2)
    check(sink_sign, b.graph(b(Pad(((0, 0), (1, 1), (1, 1)), 0.0), b(Sign(), "x"))), applied=0)


def test_chain_and_concat() -> None:
    b = Build(3, 2, 2)
    sign = b(Sign(), "x")
    joined = b(
        Concat(), b(MaxPool2d((2, 2), (2, 2)), sign), b(Slice(((0, 3, 1), (0, 1, 1), (0, 1, 1))), sign)
    )
    outcome = check(sink_sign, b.graph(b(Reshape((6,)), joined)), applied=4)
    assert kinds(outcome.graph)[-1] == "Sign"
    assert kinds(outcome.graph).count("Sign") == 1


def test_concat_with_something_else_stays() -> None:
    b = Build(3, 2, 2)
    check(sink_sign, b.graph(b(Concat(), b(Sign(), "x"), "x")), applied=0)


@pytest.mark.parametrize(("scale", "offset", "applied"), [(0.5, 0.0, 1), (-0.5, 0.0, 1), (0.5, 1.0, 1)])
def test_uniform_scale_behind_a_sign_goes_below(scale: float, offset: float, applied: int) -> None:
    b = Build(3, 2, 2)
    scaled = b(Affine(np.full(3, scale), np.full(3, offset)), b(Sign(), "x"))
    # The sign is sunk in the second sweep, once the scale is out of its way.
    check(sink_sign, b.graph(b(Reshape((12,)), scaled)), applied=2 * applied)


@pytest.mark.parametrize("scale", [0.5, -0.5, -1.0])
def test_max_pool_of_scaled_signs(scale: float) -> None:
    b = Build(3, 4, 4)
    scaled = b(Affine(np.full(3, scale), np.zeros(3)), b(Sign(), "x"))
    outcome = check(sink_sign, b.graph(b(MaxPool2d((3, 3), (2, 2), (1, 1)), scaled)), applied=2 - (scale < 0))
    assert kinds(outcome.graph)[-2:] == ["Sign", "Affine"]


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_padding_of_a_negated_sign(value: float) -> None:
    b = Build(3, 2, 2)
    negated = b(Affine(-np.ones(3), np.zeros(3)), b(Sign(), "x"))
    outcome = check(sink_sign, b.graph(b(Pad(((0, 0), (1, 0), (1, 2)), value), negated)), applied=2)
    assert kinds(outcome.graph) == ["Input", "Pad", "Sign", "Affine"]


def test_concat_of_signs_and_negated_signs() -> None:
    b = Build(3, 2, 2)
    negated = b(Affine(-np.ones(3), np.zeros(3)), b(Sign(), "x"))
    outcome = check(sink_sign, b.graph(b(Concat(), negated, b(Sign(), "x"))), applied=2)
    assert kinds(outcome.graph) == ["Input", "Concat", "Sign", "Affine"]


@pytest.mark.parametrize(
    "mover", [Reshape((12,)), MaxPool2d((2, 2), (1, 1), (1, 1)), Pad(((1, 0), (1, 1), (1, 1)), 0.0)]
)
def test_signs_with_three_values(mover: Op) -> None:
    b = Build(3, 2, 2)
    outcome = check(sink_sign, b.graph(b(mover, b(TorchSign(), "x"))), applied=1)
    assert kinds(outcome.graph) == ["Input", mover.kind, "TorchSign"]


def test_signs_of_different_kinds_stay() -> None:
    b = Build(3, 2, 2)
    check(sink_sign, b.graph(b(Concat(), b(Sign(), "x"), b(TorchSign(), "x"))), applied=0)


def test_values_that_one_affine_would_round_stay_as_they_are() -> None:
    b = Build(3, 2, 2)
    sign = b(Sign(), "x")
    low, high = float(np.float32(0.1)), float(np.float32(0.7))
    parts = [b(Affine(np.full(3, a / 2), np.full(3, abs(a) / 2)), sign) for a in (-low, high)]
    outcome = check(sink_sign, b.graph(b(Reshape((12,)), b(Add(), *parts))), applied=2)
    assert kinds(outcome.graph)[-3:] == ["Affine", "Affine", "Add"]
