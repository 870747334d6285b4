from __future__ import annotations

import math

import numpy as np
import pytest

from fdabnn_deploy.ir.ops import Clamp, Unary
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.transforms.pass_testing import Build, kinds
from fdabnn_deploy.transforms.smooth_functions import smooth_functions

LARGE = np.concatenate([np.linspace(-40, 40, 40001), [0.0, -0.0, 1e30, -1e30]]).astype(np.float32)
FUNCTIONS = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-max(min(x, 700), -700))),
    "tanh": math.tanh,
    "erf": math.erf,
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_formula_is_as_close_as_float32(function: str) -> None:
    b = Build(1, len(LARGE), 1)
    outcome = smooth_functions(b.graph(b(Unary(function), "x")))
    assert outcome.applied == 1
    assert "Unary" not in kinds(outcome.graph)
    (values,) = evaluate(outcome.graph, [LARGE.reshape(1, 1, -1, 1)])
    expected = [FUNCTIONS[function](float(x)) for x in LARGE]
    np.testing.assert_allclose(values.reshape(-1), expected, rtol=0, atol=1.5e-6)


def test_exponentials_of_what_is_not_positive() -> None:
    b = Build(1, len(LARGE), 1)
    clamped = b(Clamp(-math.inf, 0.0), "x")
    outcome = smooth_functions(b.graph(b(Unary("exp"), clamped)))
    (values,) = evaluate(outcome.graph, [LARGE.reshape(1, 1, -1, 1)])
    expected = np.exp(np.minimum(LARGE.astype(np.float64), 0))
    np.testing.assert_allclose(values.reshape(-1), expected, rtol=0, atol=1e-6)


def test_other_functions_stay() -> None:
    b = Build(1, 2, 1)
    assert not smooth_functions(b.graph(b(Unary("exp"), b(Unary("sin"), "x")))).applied
