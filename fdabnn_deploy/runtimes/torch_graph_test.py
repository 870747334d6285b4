from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fdabnn_deploy.conformance import KINDS, Case, chosen_cases, network, network_inputs, random_case
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.ops import FloatArray, Input, Op, Sign, TorchSign
from fdabnn_deploy.ir.reference import evaluate_all
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession


@pytest.mark.parametrize("case", chosen_cases(), ids=lambda case: case.name)
def test_chosen_case(case: Case) -> None:
    assert case.violations(TorchGraphSession(case.graph).run(case.inputs)) == 0


@settings(max_examples=200)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_random_case(kind: type[Op], seed: int) -> None:
    case = random_case(kind, np.random.default_rng(seed))
    assert case.violations(TorchGraphSession(case.graph).run(case.inputs)) == 0, str(case.graph)


def test_sign_of_zeros_nan_infinities_and_denormals() -> None:
    session = TorchGraphSession(Graph([Node("x", Input((8,))), Node("y", Sign(), ("x",))], ["y"]))
    values = [[0.0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45]]
    x: FloatArray = np.array(values, dtype=np.float32)
    assert session.run([x])[0].tolist() == [[1, 1, 1, 1, 1, -1, 1, -1]]


def test_the_whole_network() -> None:
    graph, inputs = network(), network_inputs(5)
    session = TorchGraphSession(graph)
    expected = evaluate_all(graph, inputs)
    values = session.run_all(inputs)
    assert set(values) == set(expected)
    for name, value in expected.items():
        assert values[name].shape == value.shape
        # Float sums are rounded in another order than in the reference.
        assert np.abs(values[name] - value).max() <= 1e-6 * np.abs(value).max(), name
    probabilities, largest = session.run(inputs)
    assert np.array_equal(probabilities, values["probabilities"])
    assert np.array_equal(largest, values["largest"])


def test_results_do_not_share_memory_with_the_inputs() -> None:
    session = TorchGraphSession(Graph([Node("x", Input((2,)))], ["x"]))
    x: FloatArray = np.ones((1, 2), dtype=np.float32)
    (y,) = session.run([x])
    x[:] = 0
    assert y.tolist() == [[1, 1]]


def test_the_process_keeps_its_settings() -> None:
    before = (torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled())
    TorchGraphSession(network(), threads=before[0] + 1).run(network_inputs(1))
    assert (torch.get_num_threads(), torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == before


def test_native_runs() -> None:
    session = TorchGraphSession(network())
    session.run_native(session.native_inputs(network_inputs(1)))
    with pytest.raises(UsageError, match="one image"):
        session.native_inputs(network_inputs(2))


def test_wrong_inputs_are_refused() -> None:
    image, bias = network_inputs(2)
    with pytest.raises(UsageError, match=r"float32 \[N, 3, 9, 9\]"):
        TorchGraphSession(network()).run([image[:, :2], bias])


def test_an_operator_that_is_not_deployed_is_refused() -> None:
    graph = Graph([Node("x", Input((2,))), Node("y", TorchSign(), ("x",))], ["y"])
    with pytest.raises(ModelRefusedError, match="y: the operator TorchSign"):
        TorchGraphSession(graph)
