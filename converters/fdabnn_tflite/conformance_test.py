"""Every operator on LCE, in both orientations: the corners and random cases of the core, converted as one file each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fdabnn_deploy.conformance import KINDS, Case, chosen_cases, random_case
from fdabnn_tflite.tensor_layout import extra_work

pytestmark = pytest.mark.runtimes

CASES = {case.name: case for case in chosen_cases()}


def _violations(on_lce: Callable[..., Any], cases: dict[str, Case], flipped: bool) -> dict[str, int]:
    cases = {name: case for name, case in cases.items() if extra_work(case.graph, flipped) < np.inf}
    graphs = {name.replace(" ", "_"): case.graph for name, case in cases.items()}
    result = on_lce(graphs, flipped, {name.replace(" ", "_"): case.inputs for name, case in cases.items()})
    return {name: case.violations(result.outputs[name.replace(" ", "_")]) for name, case in cases.items()}


@pytest.fixture(scope="module", params=[False, True], ids=["as it is", "mirrored"])
def chosen(request: pytest.FixtureRequest, on_lce: Callable[..., Any]) -> dict[str, int]:
    return _violations(on_lce, CASES, request.param)


@pytest.mark.parametrize("name", CASES)
def test_chosen_case(chosen: dict[str, int], name: str) -> None:
    assert chosen[name] == 0


@settings(max_examples=1, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 2**32 - 1), flipped=st.booleans())
def test_random_cases(on_lce: Callable[..., Any], seed: int, flipped: bool) -> None:
    rng = np.random.default_rng(seed)
    cases = {f"{kind.__name__}{i}": random_case(kind, rng) for kind in KINDS for i in range(4)}
    found = _violations(on_lce, cases, flipped)
    assert {name: number for name, number in found.items() if number} == {}
