from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Input, Relu, TorchSign
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntimeSession
from fdabnn_onnx.verify import check_model

pytestmark = pytest.mark.runtimes

INFO = ModelInfo("network", (3, 9, 9), mean=(0.5, 0.25, 0.125))


def dims(model_value: object) -> list[int | str]:
    shape = model_value.type.tensor_type.shape  # type: ignore[attr-defined]
    return [dim.dim_param or dim.dim_value for dim in shape.dim]


@pytest.mark.parametrize(("batch", "first"), [(1, 1), (5, 5), (None, "N")])
def test_batch_and_names(batch: int | None, first: int | str) -> None:
    graph = network()
    model = build_model(graph, INFO, batch)
    check_model(model, graph, batch)
    assert [value.name for value in model.graph.input] == ["image", "bias"]
    assert [value.name for value in model.graph.output] == ["probabilities", "largest"]
    assert [dims(value) for value in model.graph.input] == [[first, 3, 9, 9], [first, 4]]
    assert [dims(value) for value in model.graph.output] == [[first, 5], [first, 4]]
    assert {node.name for node in graph} <= {name for node in model.graph.node for name in node.output} | {
        "image",
        "bias",
    }
    assert len({node.name for node in model.graph.node}) == len(model.graph.node)


def test_versions_that_runtimes_of_the_last_years_read() -> None:
    model = build_model(network(), INFO, 1)
    assert model.ir_version == 8
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} == {""}


def test_value_info_lists_the_inner_tensors_of_the_graph() -> None:
    graph = network()
    listed = {value.name for value in build_model(graph, INFO, 1).graph.value_info}
    assert listed == {node.name for node in graph} - {"image", "bias", "probabilities", "largest"}


def test_the_whole_network_computes_what_the_reference_does() -> None:
    graph, inputs = network(), network_inputs(8)
    session = OnnxRuntimeSession(build_model(graph, INFO, None).SerializeToString(), "network")
    for got, expected in zip(session.run(inputs), evaluate(graph, inputs), strict=True):
        assert got.shape == expected.shape
        # The stem's sums are rounded in another order, the softmax has another exponential.
        assert np.abs(got - expected).max() < 1e-6 * np.abs(expected).max()


def test_an_output_that_is_an_input_or_given_twice() -> None:
    graph = Graph([Node("x", Input((2,))), Node("y", Relu(), ("x",))], ["y", "x", "y"])
    model = build_model(graph, INFO, 1)
    check_model(model, graph, 1)
    # The names are those that the passes give to outputs that are their own: by their place.
    assert [output.name for output in model.graph.output] == ["y", "output_1", "output_2"]
    x = np.array([[-1, 1]], dtype=np.float32)
    results = OnnxRuntimeSession(model.SerializeToString(), "t").run([x])
    assert [value.tolist() for value in results] == [[[0, 1]], [[-1, 1]], [[0, 1]]]


def test_an_operator_that_is_not_deployed_is_refused_by_name_and_place() -> None:
    graph = Graph([Node("x", Input((2,))), Node("y", TorchSign(), ("x",), source="net.py:7")], ["y"])
    with pytest.raises(
        ModelRefusedError, match=r"y \(net.py:7\): the operator TorchSign .* have to replace it"
    ):
        build_model(graph, INFO, 1)


def test_the_same_graph_gives_the_same_bytes_in_every_process() -> None:
    program = (
        "import sys; from fdabnn_deploy.conformance import network; from fdabnn_deploy.ir.model_info import ModelInfo;"
        "from fdabnn_onnx.build_model import build_model;"
        "info = ModelInfo('network', (3, 9, 9), mean=(0.5, 0.25, 0.125));"
        "sys.stdout.buffer.write(build_model(network(), info, 1).SerializeToString(deterministic=True))"
    )
    other = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert other.stdout == build_model(network(), INFO, 1).SerializeToString(deterministic=True)
