from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_tflite.finish import finish_file
from fdabnn_tflite.runtime.interpreter import Setting
from fdabnn_tflite.runtime.lce import LceRuntime
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.tensors import TENSORS_KEY, Layout, TensorMap
from fdabnn_tflite.runtime.tflite_file import DIGEST_KEY, parse_tflite
from fdabnn_tflite.saved_model import build_flatbuffer

pytestmark = pytest.mark.runtimes

RNG = np.random.default_rng(4)
INFO = ModelInfo("tiny", (3, 16, 16), mean=(0.5,), std=(1,))


def binary(outputs: int, inputs: int, stride: int) -> ops.BinaryConv2d:
    weight = np.where(RNG.random((outputs, inputs, 3, 3)) < 0.5, -1, 1).astype(np.int8)
    return ops.BinaryConv2d(weight, (stride, stride), (1, 1))


def floats(*shape: int) -> Any:
    return RNG.standard_normal(shape, dtype=np.float32)


NETWORK = Graph(
    [
        Node("image", ops.Input((3, 16, 16))),
        Node("ignored", ops.Input((2,))),
        Node("stem.0", ops.Conv2d(floats(4, 3, 3, 3), None, (1, 1), (1, 1)), ("image",)),
        Node("stem.1", ops.Affine(RNG.standard_normal(4), RNG.standard_normal(4)), ("stem.0",)),
        Node("layer.sign", ops.Sign(), ("stem.1",)),
        Node("layer.conv", binary(5, 4, 2), ("layer.sign",)),
        Node("layer.norm", ops.Affine(RNG.standard_normal(5), RNG.standard_normal(5)), ("layer.conv",)),
        Node("layer.act", ops.PRelu(floats(5)), ("layer.norm",)),
        Node("pool", ops.MaxPool2d((2, 2), (2, 2)), ("layer.act",)),
        Node("sign2", ops.Sign(), ("pool",)),
        Node("conv2", binary(6, 5, 1), ("sign2",)),
        Node("flat", ops.Reshape((96,)), ("conv2",)),
        Node("classes", ops.Linear(floats(3, 96), floats(3)), ("flat",)),
    ],
    ["conv2", "classes", "layer.act"],
)


@pytest.fixture(scope="module")
def built() -> Any:
    return build_flatbuffer(NETWORK, True, 1)


@pytest.fixture(scope="module")
def finished(built: Any) -> bytes:
    data, emitter, _ = built
    return finish_file(data, emitter, INFO)


def test_tensors_have_the_graphs_names_and_parameters_those_of_their_layer(finished: bytes) -> None:
    file = parse_tflite(finished)
    names = [tensor.name for tensor in file.tensors]
    assert len(set(names)) == len(names)
    assert {"image", "layer.sign", "layer.norm", "layer.act", "sign2", "conv2", "flat", "classes"} <= set(
        names
    )
    constants = {tensor.name for tensor in file.tensors if tensor.constant}
    assert {
        "stem.0/weight", "stem.0/bias", "layer.conv/weight", "layer.conv/multiplier", "layer.conv/bias", "layer.act/slope",
        "conv2/weight", "classes/weight", "classes/bias",
    } <= constants  # fmt: skip
    assert not [name for name in names if name.startswith(("n1", "arith", "Partitioned", "serving"))]


def test_inputs_and_outputs_stand_in_the_graphs_order(finished: bytes) -> None:
    file = parse_tflite(finished)
    assert [file.tensors[i].name for i in file.inputs] == ["image", "ignored"]
    assert [file.tensors[i].name for i in file.outputs] == ["conv2", "classes", "layer.act"]
    assert file.tensors[file.outputs[2]].shape == (1, 8, 8, 5)


def test_metadata(finished: bytes) -> None:
    file = parse_tflite(finished)
    assert file.metadata["mean"] == "[0.5]"
    assert file.metadata["sign"] == "x < 0 ? -1 : +1"
    assert len(file.metadata[DIGEST_KEY]) == 64
    places = TensorMap.loads(file.metadata[TENSORS_KEY])
    assert places.flipped
    assert [place.layout for place in places.outputs] == [Layout.NHWC, Layout.FLAT, Layout.NHWC]
    assert not any(place.flipped for place in (*places.inputs, *places.outputs))
    tensors = {place.name: place for place in places.tensors}
    assert tensors["layer.sign"].layout is Layout.PACKED
    assert tensors["sign2"].layout is Layout.PACKED
    assert tensors["flat"].image == (6, 4, 4)
    assert tensors["layer.norm"].flipped
    assert "stem.0" not in tensors, "the converter merged it with its norm"
    assert "image" not in tensors


def test_constants_begin_at_multiples_of_16_bytes(finished: bytes) -> None:
    from larq_compute_engine.mlir.python import tflite_schema as schema

    model = schema.Model.GetRootAs(finished, 0)
    starts = [
        model.Buffers(i)._tab.Vector(model.Buffers(i)._tab.Offset(4))
        for i in range(model.BuffersLength())
        if not model.Buffers(i).DataIsNone()
    ]
    assert len(starts) > 10
    assert {start % 16 for start in starts} == {0}
    assert model.Description() == b"tiny"


def test_finishing_changes_no_constant(built: Any, finished: bytes) -> None:
    from larq_compute_engine.mlir.python import tflite_schema as schema

    def constants(data: bytes) -> list[bytes]:
        model = schema.ModelT.InitFromPackedBuf(data, 0)
        tensors = model.subgraphs[0].tensors
        contents = [model.buffers[tensor.buffer].data for tensor in tensors]
        return [b"" if content is None else content.tobytes() for content in contents]

    assert constants(finished) == constants(built[0])


def test_the_same_graph_gives_the_same_bytes(finished: bytes) -> None:
    data, emitter, _ = build_flatbuffer(NETWORK, True, 1)
    assert finish_file(data, emitter, INFO) == finished


def test_a_resizable_file_marks_its_batch(built: Any) -> None:
    from larq_compute_engine.mlir.python import tflite_schema as schema

    data, emitter, _ = built
    resizable = finish_file(data, emitter, ModelInfo("tiny", (1, 1, 1)), resizable=True)
    tensors = schema.ModelT.InitFromPackedBuf(resizable, 0).subgraphs[0].tensors
    signatures = {tensor.name.decode(): tensor.shapeSignature for tensor in tensors}
    assert signatures["image"].tolist() == [-1, 16, 16, 3]
    assert signatures["classes"].tolist() == [-1, 3]
    assert signatures["classes/weight"] is None


def test_a_freed_shape_is_no_other_constant(tmp_path: Path) -> None:
    """LCE's converter makes one tensor of the shape [1, 1, 2, 1] and of the steps of the slice; steps of -1 would reverse the batch."""
    nodes = [Node("x", ops.Input((3, 4, 4))), Node("z", ops.Input((2,)))]
    nodes += [Node("half", ops.Slice(((0, 3, 1), (0, 4, 1), (0, 4, 2))), ("x",))]
    nodes += [Node("row", ops.Reshape((1, 1, 2)), ("z",))]
    graph = Graph(nodes, ["half", "row"])
    data, emitter, _ = build_flatbuffer(graph, False, None)
    path = tmp_path / "shared.tflite"
    path.write_bytes(finish_file(data, emitter, INFO, resizable=True))
    steps = [op.inputs[3] for op in parse_tflite(data).operators if op.name == "STRIDED_SLICE"]
    shapes = [op.inputs[1] for op in parse_tflite(data).operators if op.name == "RESHAPE"]
    assert set(steps) & set(shapes), "the converter does otherwise: nothing is tested"
    feed = [floats(4, 3, 4, 4), floats(4, 2)]
    session = LiteRtRuntime().open(path, setting=Setting(batch=4))
    for found, expected in zip(session.run(feed), evaluate(graph, feed), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_outputs_that_are_one_tensor_or_an_input(on_lce: Callable[..., Any]) -> None:
    graph = Graph(
        [
            Node("x", ops.Input((3, 2, 2))),
            Node("y", ops.Relu(), ("x",)),
            Node("same", ops.Reshape((3, 2, 2)), ("y",)),
            Node("z", ops.Relu(), ("same",)),
        ],
        ["same", "z", "y", "z"],
    )
    for flipped in (False, True):
        result = on_lce({"g": graph}, flipped)
        for value in result.outputs["g"]:
            assert np.array_equal(value, result.reference["g"]["y"])


@pytest.mark.parametrize("value", [1, -1])
@pytest.mark.parametrize("dense", [False, True])
def test_a_wide_layer_of_equal_weights_has_them_as_a_constant(
    tmp_path: Path, value: int, dense: bool
) -> None:
    """LCE's converter makes a `FILL` of a large filter of equal words; LiteRT reads filters before anything runs."""
    shape: tuple[int, ...] = (1024,) if dense else (512, 3, 3)
    conv = ops.BinaryConv2d(np.full((512, 512, 3, 3), value, dtype=np.int8), (1, 1), (1, 1))
    op = ops.BinaryLinear(np.full((2112, 1024), value, dtype=np.int8)) if dense else conv
    graph = Graph([Node("x", ops.Input(shape)), Node("s", ops.Sign(), ("x",)), Node("y", op, ("s",))], ["y"])
    data, emitter, _ = build_flatbuffer(graph, False, 1)
    path = tmp_path / "equal.tflite"
    path.write_bytes(finish_file(data, emitter, ModelInfo("equal", (1, 1, 1))))
    file = parse_tflite(path.read_bytes())
    assert "FILL" not in file.op_counts()
    assert file.op_counts()["LceBconv2d"] == 1
    x = floats(1, *shape)
    for runtime in (LiteRtRuntime(), LceRuntime()):
        np.testing.assert_array_equal(runtime.open(path).run([x])[0], evaluate(graph, [x])[0])
