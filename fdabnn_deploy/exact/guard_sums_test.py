from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.exact.guard_sums import guard_sums
from fdabnn_deploy.ir.ops import Add, Affine, BinaryConv2d, Conv2d, Op, PRelu, Sign, Sub
from fdabnn_deploy.transforms.pass_testing import Build, check

RNG = np.random.default_rng(0)
SIGNS = np.where(RNG.random((4, 4, 3, 3)) < 0.5, -1, 1).astype(np.int8)
CONV = Conv2d(RNG.normal(size=(4, 4, 1, 1)).astype(np.float32), RNG.normal(size=4).astype(np.float32))
BINARY = BinaryConv2d(SIGNS, padding=(1, 1))


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize(
    "behind",
    [[CONV], [Sign(), BINARY], [Sign(), BINARY, Affine(RNG.normal(size=4), RNG.normal(size=4))]],
    ids=["float conv", "binary conv", "binary conv and affine"],
)
def test_an_addition_behind_a_convolution_becomes_a_subtraction(order: int, behind: list[Op]) -> None:
    build = Build(4, 5, 5)
    y = "x"
    for op in behind:
        y = build(op, y)
    result = build(Add(), *(("x", y) if order else (y, "x")))
    outcome = check(guard_sums, build.graph(result), applied=1)
    assert isinstance(outcome.graph[result].op, Sub)
    assert outcome.graph[result].inputs == ("x", y)
    assert guard_sums(outcome.graph).applied == 0


def test_of_two_convolutions_one_is_negated() -> None:
    build = Build(4, 5, 5)
    a, b = build(CONV, "x"), build(BINARY, build(Sign(), "x"))
    result = build(Add(), a, b)
    outcome = check(guard_sums, build.graph(result), applied=1)
    assert outcome.graph[result].inputs == (a, b)
    assert np.array_equal(outcome.graph[b].op.attributes()["weight"], -SIGNS)


def test_what_no_kernel_can_fuse_stays() -> None:
    build = Build(4, 5, 5)
    conv = build(CONV, "x")
    doubled = build(Add(), conv, conv)
    activation = build(PRelu(np.float32(0.5) * np.ones(4, dtype=np.float32)), build(CONV, "x"))
    total = build(Add(), doubled, activation)
    shared = build(CONV, "x")
    first, second = build(Add(), shared, total), build(Add(), shared, "x")
    check(guard_sums, build.graph(first, second, build(Add(), "x", "x")), applied=0)
