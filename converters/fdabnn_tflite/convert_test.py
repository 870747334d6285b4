from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fdabnn_deploy.conformance import network
from fdabnn_deploy.errors import FdabnnError, NotWrittenError, UsageError
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import FloatArray, Op
from fdabnn_deploy.ir.reference import evaluate, evaluate_all
from fdabnn_deploy.targets.converter import Converter, ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_tflite.convert import CONVERTER, check_counts
from fdabnn_tflite.finish import finish_file
from fdabnn_tflite.runtime.interpreter import Setting
from fdabnn_tflite.runtime.lce import LceRuntime
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.tflite_file import parse_tflite
from fdabnn_tflite.saved_model import build_flatbuffer, import_tensorflow
from fdabnn_tflite.tensorflow_emitter import TensorFlowEmitter

pytestmark = pytest.mark.runtimes

INFO = ModelInfo(
    "resnet20", (3, 32, 32), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), classes=tuple("abcdefghij")
)


def grid(rng: np.random.Generator, unit: float, high: float, *shape: int) -> FloatArray:
    """Random multiples of the unit up to +-high, so that sums of products are exact in any order."""
    return (rng.integers(-round(high / unit), round(high / unit) + 1, shape) * unit).astype(np.float32)


def resnet20(seed: int = 0) -> Graph:
    """FDA-BNN's ResNet-20: a float stem, 18 binary convs, shortcuts without weights; every value before the mean is exact."""
    rng = np.random.default_rng(seed)
    nodes = [Node("x", ops.Input((3, 32, 32)))]

    def add(name: str, op: Op, *inputs: str) -> str:
        nodes.append(Node(name, op, inputs))
        return name

    def norm(channels: int) -> ops.Affine:
        scale, offset = grid(rng, 2**-5, 0.25, channels), grid(rng, 2**-5, 1, channels)
        return ops.Affine(scale.astype(np.float64), offset.astype(np.float64))

    y = add("stem", ops.Conv2d(grid(rng, 2**-4, 0.5, 16, 3, 3, 3), None, (1, 1), (1, 1)), "x")
    y = add("stem.norm", norm(16), y)
    channels, size = 16, 32
    for stage in range(3):
        for block in range(3):
            for conv in (1, 2):
                name = f"layer{stage + 1}.{block}.{conv}."
                stride = 2 if stage and not block and conv == 1 else 1
                outputs = 16 << stage
                weight = np.where(rng.random((outputs, channels, 3, 3)) < 0.5, -1, 1).astype(np.int8)
                z = add(name + "sign", ops.Sign(), y)
                z = add(name + "conv", ops.BinaryConv2d(weight, (stride, stride), (1, 1)), z)
                z = add(name + "prelu", ops.PRelu(grid(rng, 2**-3, 1, outputs)), z)
                z = add(name + "norm", norm(outputs), z)
                if stride == 2:
                    y = add(name + "part", ops.Slice(((0, channels, 1), (0, size, 2), (0, size, 2))), y)
                    y = add(name + "wide", ops.Pad(((channels // 2, channels // 2), (0, 0), (0, 0))), y)
                    channels, size = outputs, size // 2
                y = add(name + "add", ops.Add(), z, y)
    y = add("mean", ops.GlobalAvgPool(), y)
    add("classes", ops.Linear(rng.standard_normal((10, 64), dtype=np.float32), np.zeros(10, np.float32)), y)
    return Graph(nodes, ["classes"])


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("convert") / "resnet20.tflite"
    return CONVERTER.convert(resnet20(), INFO, path, ConvertOptions())


def test_the_entry_point_finds_it() -> None:
    converter = find_converter("tflite")
    assert isinstance(converter, Converter)


def test_a_resnet20_on_lce_equals_the_reference(exported: Any) -> None:
    graph = resnet20()
    image = grid(np.random.default_rng(1), 2**-6, 2, 2, 3, 32, 32)
    session = LceRuntime().open(exported.path)
    tensors, reference = session.run_all([image]), evaluate_all(graph, [image])
    sums = {"mean", "classes"}
    assert set(tensors) == set(reference)
    for name in set(tensors) - sums:
        assert np.array_equal(tensors[name], reference[name]), name
    # 64 values each, on magnitudes of at most 30: some units in the last place.
    (classes,) = session.run([image])
    assert np.allclose(classes, reference["classes"], rtol=0, atol=64 * 30 * 2.0**-22)
    assert np.array_equal(classes, tensors["classes"])


def test_the_artifact_says_what_is_in_the_file(exported: Any) -> None:
    assert exported.target == "tflite"
    assert exported.op_counts["LceBconv2d"] == exported.op_counts["LceQuantize"] == 18
    assert exported.op_counts["CONV_2D"] == 1, "no extra convolution"
    assert exported.op_counts["REVERSE_V2"] == 1
    assert "SUB" not in exported.op_counts, "no correction either"
    assert "mirrored" in exported.notes[0]
    assert exported.path.stat().st_size < 100_000
    metadata = LceRuntime().metadata(exported.path)
    assert INFO.metadata().items() <= metadata.items()


def test_another_process_writes_the_same_bytes_and_nothing_to_the_terminal(
    exported: Any, tmp_path: Path
) -> None:
    here = Path(__file__)
    program = f"""
import importlib.util, sys
from pathlib import Path
from fdabnn_tflite.convert import CONVERTER
assert "tensorflow" not in sys.modules
spec = importlib.util.spec_from_file_location("convert_test", {str(here)!r})
module = importlib.util.module_from_spec(spec)
sys.modules["convert_test"] = module
spec.loader.exec_module(module)
assert "tensorflow" not in sys.modules
CONVERTER.convert(module.resnet20(), module.INFO, Path("other.tflite"), module.ConvertOptions())
"""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("TF_", "GRPC_"))}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert (tmp_path / "other.tflite").read_bytes() == exported.path.read_bytes()


def test_a_network_of_all_operators(tmp_path: Path) -> None:
    artifact = CONVERTER.convert(network(), INFO, tmp_path / "all.tflite", ConvertOptions(batch=3))
    assert artifact.op_counts["LceBconv2d"] == 3
    assert "batch 3" in artifact.notes[-1]
    assert parse_tflite(artifact.path.read_bytes()).tensors[0].shape[0] == 3


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_any_batch_runs_where_inputs_can_be_resized(tmp_path: Path) -> None:
    """TensorFlow's own interpreter has no binary operators, so a float network stands in."""
    tf, _ = import_tensorflow()
    rng = np.random.default_rng(5)
    conv = ops.Conv2d(rng.standard_normal((4, 3, 3, 3), dtype=np.float32), None, (2, 2), (1, 1))
    dense = ops.Linear(rng.standard_normal((5, 64), dtype=np.float32))
    nodes = [
        Node("x", ops.Input((3, 8, 8))),
        Node("c", conv, ("x",)),
        Node("f", ops.Reshape((64,)), ("c",)),
        Node("r", ops.Relu(), ("f",)),
        Node("y", dense, ("r",)),
    ]
    graph = Graph(nodes, ["y", "c"])
    artifact = CONVERTER.convert(graph, INFO, tmp_path / "any.tflite", ConvertOptions(batch=None))
    assert "any batch" in artifact.notes[-1]
    interpreter = tf.lite.Interpreter(str(artifact.path))
    assert interpreter.get_input_details()[0]["shape_signature"].tolist() == [-1, 8, 8, 3]
    image = rng.standard_normal((4, 3, 8, 8), dtype=np.float32)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [4, 8, 8, 3])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image.transpose(0, 2, 3, 1))
    interpreter.invoke()
    y, c = (interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details())
    want_y, want_c = evaluate(graph, [image])
    assert np.allclose(y, want_y, rtol=0, atol=1e-4)
    assert np.allclose(c.transpose(0, 3, 1, 2), want_c, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "op", [ops.Permute((1, 3, 2)), ops.MaxPool2d((1, 1), (1, 1))], ids=lambda op: op.kind
)
def test_a_batch_is_free_where_runtimes_or_the_converter_hold_on_to_it(op: Op, tmp_path: Path) -> None:
    """The converter moves dimensions of size 1 by reshapes to constant shapes; XNNPACK does not resize max-pools of one value."""
    rng = np.random.default_rng(6)
    nodes = [Node("x", ops.Input((3, 4, 1))), Node("p", op, ("x",)), Node("y", ops.Relu(), ("p",))]
    graph = Graph(nodes, ["y"])
    path = tmp_path / "free.tflite"
    image = rng.standard_normal((5, 3, 4, 1), dtype=np.float32)
    for batch, sizes in ((None, (None, 4)), (2, (None,))):
        CONVERTER.convert(graph, ModelInfo("free", (3, 4, 1)), path, ConvertOptions(batch=batch))
        for size in sizes:
            session = LiteRtRuntime().open(path, setting=Setting(batch=size))
            assert np.array_equal(session.run([image])[0], evaluate(graph, [image])[0])


def test_wrong_usage_is_told_and_nothing_written(tmp_path: Path) -> None:
    graph = Graph([Node("x", ops.Input((3,))), Node("y", ops.Relu(), ("x",))], ["y"])
    with pytest.raises(UsageError, match="batch size 0"):
        CONVERTER.convert(graph, INFO, tmp_path / "a.tflite", ConvertOptions(batch=0))
    (tmp_path / "file").touch()
    with pytest.raises(NotWrittenError, match=r"cannot write .*file"):
        CONVERTER.convert(graph, INFO, tmp_path / "file" / "a.tflite", ConvertOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("lce")
def test_a_layer_that_comes_out_float_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def misspelt(self: TensorFlowEmitter, tensor: Any) -> Any:
        self.signs[tensor.op.name] = self.emit("Sign", x=tensor)
        return self.signs[tensor.op.name]

    monkeypatch.setattr(TensorFlowEmitter, "sign", misspelt)
    weight = np.ones((2, 3, 3, 3), dtype=np.int8)
    nodes = [
        Node("x", ops.Input((3, 4, 4))),
        Node("s", ops.Sign(), ("x",)),
        Node("layer4.conv", ops.BinaryConv2d(weight), ("s",)),
    ]
    with pytest.raises(FdabnnError, match=r"0 LceBconv2d instead of 1.*layer4\.conv") as caught:
        CONVERTER.convert(
            Graph(nodes, ["layer4.conv"]), INFO, tmp_path / "a.tflite", ConvertOptions(via="lce")
        )
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_every_count_is_checked() -> None:
    weight = np.ones((2, 3, 1, 1), dtype=np.int8)
    nodes = [
        Node("x", ops.Input((3, 4, 4))),
        Node("s", ops.Sign(), ("x",)),
        Node("c", ops.BinaryConv2d(weight), ("s",)),
    ]
    data, emitter, results = build_flatbuffer(Graph(nodes, ["c"]), False, 1)
    file = parse_tflite(finish_file(data, emitter, ModelInfo("one", (1, 1, 1))))
    check_counts(file, emitter, results)
    emitter.signs["another"] = emitter.signs["in_0000"]
    with pytest.raises(FdabnnError, match="1 LceQuantize instead of 2"):
        check_counts(file, emitter, results)
    del emitter.signs["another"]
    emitter.pools.append(next(iter(emitter.signs.values())).op.inputs[0].op.inputs[0])
    with pytest.raises(FdabnnError, match="0 LceBMaxPool2d instead of 1"):
        check_counts(file, emitter, results)


def test_pools_that_only_a_pool_on_bits_reads_work_on_bits_too() -> None:
    """The second pool's sign goes in front of both; TensorFlow removes the two reshapes between the third pool and its sign."""
    weight = np.ones((2, 3, 1, 1), dtype=np.int8)
    nodes = [
        Node("x", ops.Input((3, 8, 8))),
        Node("p", ops.MaxPool2d((2, 2), (2, 2)), ("x",)),
        Node("q", ops.MaxPool2d((2, 2), (2, 2)), ("p",)),
        Node("s", ops.Sign(), ("q",)),
        Node("c", ops.BinaryConv2d(weight), ("s",)),
        Node("f", ops.Relu(), ("x",)),
        Node("r", ops.MaxPool2d((8, 8), (8, 8)), ("f",)),
        Node("v", ops.Reshape((3,)), ("r",)),
        Node("t", ops.Sign(), ("v",)),
        Node("l", ops.BinaryLinear(weight[:, :, 0, 0]), ("t",)),
    ]
    data, emitter, results = build_flatbuffer(Graph(nodes, ["c", "l"]), False, 1)
    file = parse_tflite(finish_file(data, emitter, ModelInfo("pools", (1, 1, 1))))
    check_counts(file, emitter, results)
    assert file.op_counts()["LceBMaxPool2d"] == 3
