from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.ir.ops import (
    Add,
    Affine,
    Array,
    Clamp,
    Div,
    GlobalAvgPool,
    Mul,
    Opaque,
    Permute,
    Relu,
    Sign,
    Sub,
    Unary,
)
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds
from fdabnn_deploy.transforms.signs.positive_divisors import positive_divisors


def deviation() -> Opaque:
    def compute(x: Array) -> Array:
        return np.asarray(x.var(axis=(1, 2, 3), keepdims=True), np.float32)

    return Opaque("var", (-1, 1, 1, 1), compute, "no variances")


def build(divisor: str) -> tuple[Build, str]:
    b = Build(3, 4, 4)
    match divisor:
        case "deviation":
            return b, b(Unary("sqrt"), b(Add(), b(deviation(), "x"), b.constant(1e-5)))
        case "variance":
            return b, b(deviation(), "x")
        case "mean magnitude":
            return b, b(GlobalAvgPool(keepdims=True), b(Unary("abs"), "x"))
        case "exponential":
            return b, b(Unary("exp"), "x")
        case "square":
            return b, b(Mul(), "x", "x")
        case "no sign":
            return b, b(Sub(), "x", b.constant(1.0))
    raise AssertionError(divisor)


@pytest.mark.parametrize("divisor", ["deviation", "variance", "mean magnitude", "exponential"])
def test_a_positive_divisor_in_front_of_a_sign_goes(divisor: str) -> None:
    b, p = build(divisor)
    quotient = b(Div(), "x", p)
    outcome = check(positive_divisors, b.graph(b(Sign(), b(Permute((2, 1, 3)), quotient))), applied=1)
    assert kinds(outcome.graph) == ["Input", "Affine", "Permute", "Sign"]
    assert not outcome.graph[quotient].trained


def test_a_positive_factor_goes_and_one_that_may_be_zero_stays() -> None:
    b, p = build("exponential")
    check(positive_divisors, b.graph(b(Sign(), b(Mul(), p, "x"))), applied=1)
    for factor in ("variance", "square"):
        b, p = build(factor)
        check(positive_divisors, b.graph(b(Sign(), b(Mul(), "x", p))), applied=0)


@pytest.mark.parametrize("reader", ["output", "relu", "offset"])
def test_a_divisor_whose_quotient_is_read_otherwise_stays(reader: str) -> None:
    b, p = build("deviation")
    quotient = b(Div(), "x", p)
    sign = b(Sign(), quotient)
    graphs: dict[str, Graph] = {"output": b.graph(sign, quotient)}
    graphs["relu"] = b.graph(sign, b(Relu(), quotient))
    graphs["offset"] = b.graph(b(Sign(), b(Affine(np.ones(3), np.ones(3)), quotient)))
    check(positive_divisors, graphs[reader], applied=0)


def test_what_may_be_negative_stays() -> None:
    b, p = build("no sign")
    check(positive_divisors, b.graph(b(Sign(), b(Div(), "x", p))), applied=0)


def test_negations_and_clamps_round_zero_keep_the_side() -> None:
    b, p = build("deviation")
    quotient = b(Div(), "x", p)
    signs = (b(Sign(), b(Unary("neg"), quotient)), b(Sign(), b(Clamp(-1.0, 1.0), quotient)))
    check(positive_divisors, b.graph(*signs), applied=1)
    b, p = build("deviation")
    check(positive_divisors, b.graph(b(Sign(), b(Clamp(0.0, 1.0), b(Div(), "x", p)))), applied=0)
