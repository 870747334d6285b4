from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime

pytestmark = pytest.mark.runtimes

FLOAT = TensorProto.FLOAT
SHAPE = (1, 4)


def save(
    path: Path,
    node: onnx.NodeProto,
    *,
    input_shape: Sequence[int] | None = SHAPE,
    output_shape: Sequence[int] | None = SHAPE,
    outputs: int = 1,
    opsets: Sequence[tuple[str, int]] = (("", 17),),
    ir_version: int = 8,
) -> Path:
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", FLOAT, input_shape)],
        [helper.make_tensor_value_info("y", FLOAT, output_shape)] * outputs,
    )
    imports = [helper.make_opsetid(*opset) for opset in opsets]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=ir_version), path)
    return path


def node(operator: str = "Relu", domain: str = "") -> onnx.NodeProto:
    return helper.make_node(operator, ["x"], ["y"], domain=domain)


def refusal(path: Path) -> str:
    with pytest.raises(ModelRefusedError) as caught:
        OnnxRuntime().open(path)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.onnx"


def test_a_sound_file_that_is_too_new(path: Path) -> None:
    said = refusal(save(path, node(), opsets=[("", 30)]))
    assert "has operator set 30, which is newer than the installed packages know: update onnxruntime" in said
    assert "has format version 99, which is newer" in refusal(save(path, node(), ir_version=99))


def test_operators_of_somebody_s_own(path: Path) -> None:
    said = refusal(save(path, node("Foo", "my.ops"), opsets=[("", 17), ("my.ops", 1)]))
    assert (
        "uses the operator Foo of the domain my.ops, which ONNX Runtime does not know: leave it out" in said
    )
    assert "uses the operator Bar of ONNX's own domain" in refusal(save(path, node("Bar")))


def test_unknown_ranks_and_scalars(path: Path) -> None:
    assert "does not say how many dimensions its input x has" in refusal(save(path, node(), input_shape=None))
    said = refusal(save(path, node(), output_shape=None))
    assert "does not say how many dimensions its output y has: give it a shape" in said
    said = refusal(save(path, node(), input_shape=(), output_shape=()))
    assert "input x is tensor(float) without dimensions" in said


def test_no_inputs_or_outputs(path: Path) -> None:
    assert "has no outputs" in refusal(save(path, node(), outputs=0))
    constant = helper.make_node("Constant", [], ["y"], value_float=1.0)
    graph = helper.make_graph([constant], "g", [], [helper.make_tensor_value_info("y", FLOAT, [])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    assert "has no inputs" in refusal(path)


def test_none_of_them_is_called_damaged(path: Path) -> None:
    files = [
        {"opsets": [("", 30)]},
        {"ir_version": 99},
        {"input_shape": None},
        {"output_shape": None},
        {"outputs": 0},
    ]
    for file in files:
        assert "damaged" not in refusal(save(path, node(), **file))  # type: ignore[arg-type]
    path.write_bytes(b"no model")
    assert "is damaged or not an ONNX model" in refusal(path)
