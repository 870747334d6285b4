from __future__ import annotations

import numpy as np
import onnx
import onnxsim
import pytest
from onnx import numpy_helper

from fdabnn_deploy.conformance import network
from fdabnn_deploy.errors import RuntimeMissingError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, Input, Relu, Sign
from fdabnn_onnx.build_model import build_model
from fdabnn_onnx.op_counts import count_ops
from fdabnn_onnx.verify import ARITHMETIC_PASSES, InvalidModelError, check_model, check_simplified

pytestmark = pytest.mark.runtimes

INFO = ModelInfo("network", (3, 9, 9))


def binary_block() -> Graph:
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((4, 3, 3, 3)) < 0.5, -1, 1).astype(np.int8)
    return Graph(
        [
            Node("x", Input((3, 6, 6))),
            Node("s", Sign(), ("x",)),
            Node("c", BinaryConv2d(weight, padding=(1, 1), padding_value=1), ("s",)),
            Node("y", Affine(rng.normal(size=4), rng.normal(size=4)), ("c",)),
        ],
        ["y"],
    )


def test_a_wrong_shape_is_found() -> None:
    graph = network()
    model = build_model(graph, INFO, 1)
    with pytest.raises(InvalidModelError, match="ONNX infers shape"):
        check_model(model, graph, 2)


@pytest.mark.parametrize("times", [1, 2])
def test_a_batch_that_onnx_calls_unknown_is_the_batch(times: int) -> None:
    graph = Graph([Node("x", Input((3, 4, 4))), Node("y", Relu(), ("x",)), Node("z", Relu(), ("y",))], ["z"])
    model = build_model(graph, INFO, None)
    resize = onnx.helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    model.graph.node[0].CopyFrom(resize)
    scales = np.array([times, 1, 1, 1], dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(scales, "scales"))
    if times == 1:
        check_model(model, graph, None)
    else:
        with pytest.raises(InvalidModelError):
            check_model(model, graph, None)


def test_a_broken_model_is_found() -> None:
    graph = network()
    model = build_model(graph, INFO, 1)
    model.graph.node[0].op_type = "Convolution"
    with pytest.raises(InvalidModelError, match="fails ONNX's check"):
        check_model(model, graph, 1)


@pytest.mark.parametrize("batch", [1, 3, None])
def test_the_simplifier_gives_equal_outputs(batch: int | None) -> None:
    assert "gives equal outputs" in check_simplified(build_model(binary_block(), INFO, batch))


def test_the_network_of_all_operators_passes_the_simplifier() -> None:
    assert "onnx-simplifier" in check_simplified(build_model(network(), INFO, 1))


def test_the_simplifier_would_make_binary_weights_float() -> None:
    model = build_model(binary_block(), INFO, 1)
    assert count_ops(model)["Conv (1-bit)"] == 1
    full, _ = onnxsim.simplify(model)
    assert "Conv (1-bit)" not in count_ops(full)
    kept, _ = onnxsim.simplify(model, skipped_optimizers=list(ARITHMETIC_PASSES))
    assert count_ops(kept)["Conv (1-bit)"] == 1


def test_a_simplifier_that_changes_numbers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = onnxsim.simplify

    def flipped(model: onnx.ModelProto, **options: object) -> tuple[onnx.ModelProto, bool]:
        simplified, ok = real(model, **options)
        for tensor in simplified.graph.initializer:
            if tensor.name == "c/weight":
                tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
        return simplified, ok

    monkeypatch.setattr(onnxsim, "simplify", flipped)
    with pytest.raises(InvalidModelError, match=r"differs in \d+ output values"):
        check_simplified(build_model(binary_block(), INFO, 1))


def test_without_the_simplifier_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxsim", None)
    with pytest.raises(RuntimeMissingError, match="pip install"):
        check_simplified(build_model(binary_block(), INFO, 1))
