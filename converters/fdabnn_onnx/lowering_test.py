"""Every operator, lowered and run by ONNX Runtime without and with its graph optimisations, against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fdabnn_deploy.conformance import KINDS, Case, chosen_cases, random_case
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import DEPLOYED, Input, Op
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.lower import LOWERINGS
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntimeSession
from fdabnn_onnx.verify import check_model

pytestmark = pytest.mark.runtimes

INFO = ModelInfo("case", (1,))
LEVELS = ("disabled", "all")


def assert_conforms(case: Case, batch: int | None) -> None:
    model = build_model(case.graph, INFO, batch)
    check_model(model, case.graph, batch)
    for level in LEVELS:
        session = OnnxRuntimeSession(model.SerializeToString(), case.name, optimization=level)
        assert case.violations(session.run(case.inputs)) == 0, (level, str(case.graph))


def test_every_deployed_operator_is_lowered() -> None:
    assert set(LOWERINGS) == DEPLOYED - {Input}


@pytest.mark.parametrize("case", chosen_cases(), ids=lambda case: case.name)
def test_chosen_case(case: Case) -> None:
    assert_conforms(case, batch=1)


@settings(max_examples=120)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1), batch=st.sampled_from([1, 2, 3, None]))
def test_random_case(kind: type[Op], seed: int, batch: int | None) -> None:
    assert_conforms(random_case(kind, np.random.default_rng(seed)), batch)
