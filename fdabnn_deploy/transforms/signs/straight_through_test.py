from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.ir.ops import Add, Clamp, Op, Sub, TorchSign, Unary
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.pass_testing import Build, check, kinds
from fdabnn_deploy.transforms.signs.straight_through import straight_through


def test_terms_cancel() -> None:
    b = Build(3, 2, 2)
    smooth = b(Clamp(-1.0, 1.0), "x")
    graph = b.graph(b(Add(), b(Sub(), b(TorchSign(), "x"), smooth), smooth))
    outcome = straight_through(graph)
    assert outcome.applied == 1
    assert kinds(outcome.graph) == ["Input", "TorchSign"]
    # The written sum rounds; the rewritten one is the sign itself.
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 2)).astype(np.float32)
    np.testing.assert_allclose(evaluate(graph, [x])[0], np.sign(x), atol=1e-6)
    np.testing.assert_array_equal(evaluate(outcome.graph, [x])[0], np.sign(x))


@pytest.mark.parametrize("smooth", [Clamp(-1.0, 1.0), Unary("tanh")])
def test_terms_that_are_computed_twice_cancel(smooth: Op) -> None:
    b = Build(3, 2, 2)
    once, again = (b(smooth, "x") for _ in range(2))
    outcome = straight_through(b.graph(b(Add(), b(Sub(), b(TorchSign(), "x"), once), again)))
    assert outcome.applied == 1
    assert kinds(outcome.graph) == ["Input", "TorchSign"]


def test_terms_of_different_clamps_stay() -> None:
    b = Build(3, 2, 2)
    once, other = (b(Clamp(-1.0, high), "x") for high in (1.0, 2.0))
    check(straight_through, b.graph(b(Add(), b(Sub(), b(TorchSign(), "x"), once), other)), applied=0)


def test_residual_sums_stay() -> None:
    b = Build(3, 2, 2)
    check(straight_through, b.graph(b(Add(), b(TorchSign(), "x"), b(Clamp(-1.0, 1.0), "x"))), applied=0)


def test_two_terms_left_stay() -> None:
    b = Build(3, 2, 2)
    smooth = b(Clamp(-1.0, 1.0), "x")
    check(
        straight_through,
        b.graph(b(Add(), b(Sub(), b(Add(), "x", b(TorchSign(), "x")), smooth), smooth)),
        applied=0,
        ulps=1,
    )
