from __future__ import annotations

import numpy as np
import pytest

from fdabnn_deploy.conformance import KINDS, random_case
from fdabnn_deploy.ir.ops import Op
from fdabnn_deploy.ir.reference import evaluate


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_random_cases_are_of_the_kind_and_can_be_computed(kind: type[Op]) -> None:
    shapes = set()
    for seed in range(20):
        case = random_case(kind, np.random.default_rng(seed))
        assert type(case.op) is kind
        assert case.violations(evaluate(case.graph, case.inputs)) == 0
        shapes.add(case.graph.shape("y"))
    assert len(shapes) > 5
