from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.conformance import Case, chosen_cases, random_case
from fdabnn_deploy.ir.ops import AvgPool2d, Conv2d, GlobalAvgPool, GlobalSum, Linear, Softmax
from fdabnn_deploy.ir.reference import evaluate

INEXACT = {Conv2d, Linear, AvgPool2d, GlobalAvgPool, GlobalSum, Softmax}


@pytest.mark.parametrize("case", chosen_cases(), ids=lambda case: case.name)
def test_only_sums_of_floats_may_be_off_and_only_a_little(case: Case) -> None:
    (expected,) = evaluate(case.graph, case.inputs)
    allowed = case.op.allowed_error(*case.inputs)
    if type(case.op) in INEXACT:
        assert np.all(np.asarray(allowed) < 1e-4 * (np.abs(expected).max() + 1))
    else:
        assert np.all(allowed == 0)
    assert case.violations([expected]) == 0
    wrong = expected + np.float32(1e-3) * (np.abs(expected).max() + 1)
    assert case.violations([wrong.astype(np.float32)]) == expected.size


def test_a_wrong_shape_type_or_number_of_outputs_is_a_violation() -> None:
    case = next(case for case in chosen_cases() if case.name == "add")
    (expected,) = evaluate(case.graph, case.inputs)
    assert case.violations([expected[:1]]) == expected.size
    assert case.violations([expected.astype(np.float64)]) == expected.size
    assert case.violations([]) == expected.size
    damaged = expected.copy()
    damaged.flat[0] = np.nan
    assert case.violations([damaged]) == 1


@pytest.mark.parametrize("seed", range(5))
def test_the_bound_holds_for_float32_sums_in_any_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = random_case(Linear, rng)
    assert isinstance(case.op, Linear)
    (x,) = case.inputs
    total = np.zeros((len(x), len(case.op.weight)), dtype=np.float32)
    for column in rng.permutation(x.shape[1]):
        total = total + x[:, column, None] * case.op.weight[None, :, column]
    assert case.violations([total if case.op.bias is None else total + case.op.bias]) == 0
