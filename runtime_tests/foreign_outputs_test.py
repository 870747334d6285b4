"""`fdabnn-parity` on models of other tools: outputs of other types, and outputs that do not have the batch in front."""

from __future__ import annotations

import importlib
import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fdabnn_deploy.cli import runner
from fdabnn_deploy.cli.parity import main
from fdabnn_deploy.errors import ModelRefusedError, ParityError
from fdabnn_deploy.ir.ops import Array
from fdabnn_deploy.measure.profiles import golden_capsule
from fdabnn_deploy.verify.capsule import read_capsule, write_capsule
from fdabnn_deploy.verify.capsule_replay import build, replay
from fdabnn_deploy.verify.comparison import compare_models
from fdabnn_tflite.runtime.pack import pack_tflite

FLOAT = TensorProto.FLOAT


def save(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[onnx.ValueInfoProto],
    constants: dict[str, Array],
    shape: Sequence[int | str] = (1, 4),
) -> Path:
    """A model of the input x float32 `shape`."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape)],
        list(outputs),
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def value(name: str, kind: int, shape: Sequence[int | str | None] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


@pytest.mark.parametrize("count", [1, 2, 200])
@pytest.mark.parametrize("batch", [1, "N"])
def test_rows_behind_the_first_are_compared(tmp_path: Path, count: int, batch: int | str) -> None:
    """Time first: [6, N, 4], of which rows 2 to 5 differ."""
    paths = []
    for name, last in (("a", 1.0), ("b", -1.0)):
        scale = np.ones((6, 1, 4), np.float32)
        scale[2:] = last
        nodes = [helper.make_node("Mul", ["x", "c"], ["y"])]
        outputs = [value("y", FLOAT, [6, batch, 4])]
        paths.append(save(tmp_path / f"{name}.onnx", nodes, outputs, {"c": scale}, (batch, 4)))
    result = compare_models(paths[0], paths[1], f"random:{count}")
    assert result.comparison.values == 24 * count
    assert result.comparison.differing == 16 * count
    assert not result.passed
    assert main([*map(str, paths), "--inputs", f"random:{count}"]) == ParityError.exit_code
    assert compare_models(paths[0], paths[0], f"random:{count}").comparison.values == 24 * count


BIG = 1.5 * (1 + 2.0**-40)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (TensorProto.INT64, np.full((1, 4), 16777216), np.full((1, 4), 16777217)),
        (TensorProto.DOUBLE, np.full((1, 4), 1.5), np.full((1, 4), BIG)),
        (TensorProto.INT8, np.full((1, 4), -128, np.int8), np.full((1, 4), 127, np.int8)),
        (TensorProto.FLOAT16, np.full((1, 4), 1, np.float16), np.full((1, 4), 1.001, np.float16)),
        (TensorProto.UINT64, np.full((1, 4), 2**63, np.uint64), np.full((1, 4), 2**63 + 1, np.uint64)),
    ],
)
def test_values_of_other_types_are_not_rounded(tmp_path: Path, kind: int, one: Array, other: Array) -> None:
    paths = []
    for name, constant in (("a", one), ("b", other)):
        nodes = [
            helper.make_node("Mul", ["x", "zero"], ["z"]),
            helper.make_node("Cast", ["z"], ["i"], to=kind),
            helper.make_node("Add", ["i", "c"], ["y"]),
        ]
        constants = {"zero": np.zeros((), np.float32), "c": constant}
        paths.append(save(tmp_path / f"{name}.onnx", nodes, [value("y", kind, [1, 4])], constants))
    result = compare_models(paths[0], paths[1], "random:2")
    assert (result.comparison.values, result.comparison.differing, result.passed) == (8, 8, False)
    assert result.comparison.first is not None
    assert result.comparison.first.b == other.flat[0]
    assert compare_models(paths[0], paths[0], "random:2").comparison.equal
    target = tmp_path / "result.json"
    assert main([*map(str, paths), "--inputs", "random:2", "--json", str(target), "--per-layer"]) == 4
    assert json.loads(target.read_text())["comparison"]["first"]["dtype"] == one.dtype.name


def test_booleans_scalars_and_sequences_are_compared(tmp_path: Path) -> None:
    paths = []
    for name, limit in (("a", 0.0), ("b", 0.25)):
        nodes = [
            helper.make_node("Greater", ["x", "limit"], ["mask"]),
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "limit"], ["moved"]),
            helper.make_node("SequenceConstruct", ["x", "moved"], ["parts"]),
        ]
        outputs = [
            value("mask", TensorProto.BOOL, [1, 4]),
            value("sum", FLOAT, []),
            helper.make_tensor_sequence_value_info("parts", FLOAT, None),
        ]
        constants = {"limit": np.full((), limit, np.float32)}
        paths.append(save(tmp_path / f"{name}.onnx", nodes, outputs, constants))
    same = compare_models(paths[0], paths[0], "random:40")
    assert (same.comparison.values, same.passed) == (40 * (4 + 1 + 8), True)
    result = compare_models(paths[0], paths[1], "random:40")
    assert result.comparison.values == 40 * 13
    assert result.comparison.differing > 40 * 4
    assert result.comparison.first is not None
    assert result.comparison.first.dtype == "bool"


def test_as_many_values_as_every_input_has(tmp_path: Path) -> None:
    """NonZero gives as many rows as there are: other shapes for other inputs."""
    nodes = [
        helper.make_node("Greater", ["x", "limit"], ["mask"]),
        helper.make_node("NonZero", ["mask"], ["where"]),
    ]
    paths = [
        save(
            tmp_path / f"{name}.onnx",
            nodes,
            [value("where", TensorProto.INT64, [2, "count"])],
            {"limit": np.full((), limit, np.float32)},
        )
        for name, limit in (("a", 0.0), ("b", 0.5))
    ]
    inputs = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    same = compare_models(paths[0], paths[0], inputs)
    assert same.comparison.values == 2 * int((inputs > 0).sum())
    with pytest.raises(
        ParityError, match=r"output 0 of input \d+ is \[2, \d\] on one side and \[2, \d\] on the other"
    ):
        compare_models(paths[0], paths[1], inputs)


def test_nothing_to_compare_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Slice", ["x", "zero", "zero", "one"], ["y"])]
    constants = {"zero": np.zeros(1, np.int64), "one": np.ones(1, np.int64)}
    path = save(tmp_path / "a.onnx", nodes, [value("y", FLOAT, [1, 0])], constants)
    with pytest.raises(ModelRefusedError, match="hold no values on these inputs"):
        compare_models(path, path, "random:2")


def test_outputs_of_two_types_are_refused(tmp_path: Path) -> None:
    paths = [
        save(
            tmp_path / f"{name}.onnx",
            [helper.make_node("Cast", ["x"], ["y"], to=kind)],
            [value("y", kind, [1, 4])],
            {},
        )
        for name, kind in (("a", TensorProto.INT32), ("b", TensorProto.DOUBLE))
    ]
    with pytest.raises(ModelRefusedError, match="output 0 is int32 on one side and float64 on the other"):
        compare_models(paths[0], paths[1], "random:2")


def test_strings_and_maps_are_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    string = save(
        tmp_path / "string.onnx",
        [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.STRING)],
        [value("y", TensorProto.STRING, [1, 4])],
        {},
    )
    assert main([str(string), str(string), "--inputs", "random:1"]) == ModelRefusedError.exit_code
    assert "output y is tensor(string)" in " ".join(capsys.readouterr().err.split())
    nodes = [helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2, 3])]
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", FLOAT, [1, 4])],
        [
            helper.make_value_info(
                "y",
                helper.make_sequence_type_proto(
                    helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(FLOAT, []))
                ),
            )
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "map.onnx")
    assert main([str(tmp_path / "map.onnx")] * 2) == ModelRefusedError.exit_code
    assert "convert it without ZipMap" in " ".join(capsys.readouterr().err.split())


def run_runner(arguments: list[str]) -> int:
    return subprocess.run(runner.command(arguments), capture_output=True, check=False, timeout=120).returncode


def test_capsules_hold_every_value_in_its_type(tmp_path: Path) -> None:
    """Time first and two types: what Python records, the runner replays, and what differs is named in its type."""
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["y"]),
        helper.make_node("Cast", ["y"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Add", ["whole", "big"], ["z"]),
        helper.make_node("Cast", ["y"], ["d"], to=TensorProto.DOUBLE),
        helper.make_node("Greater", ["x", "zero"], ["b"]),
    ]
    outputs = [
        value("y", FLOAT, [6, 1, 4]),
        value("z", TensorProto.INT64, [6, 1, 4]),
        value("d", TensorProto.DOUBLE, [6, 1, 4]),
        value("b", TensorProto.BOOL, [1, 4]),
    ]
    constants: dict[str, Array] = {
        "c": np.full((6, 1, 4), 1 + 2.0**-20, np.float32),
        "big": np.array(2**60),
        "zero": np.zeros((), np.float32),
    }
    model = save(tmp_path / "a.onnx", nodes, outputs, constants)
    path = golden_capsule.make(model, tmp_path / "a.capsule")
    capsule = read_capsule(path)
    assert [(t.name, t.values.dtype.name, t.shape) for t in capsule.outputs] == [
        ("y", "float32", (6, 1, 4)),
        ("z", "int64", (6, 1, 4)),
        ("d", "float64", (6, 1, 4)),
        ("b", "bool", (4,)),
    ]
    assert capsule.outputs[1].values.min() > 2**59
    assert replay(path).passed
    assert run_runner(["--selftest", str(path), "--selftest-only"]) == 0
    changed = capsule.outputs[1].values.copy()
    changed[3, 5, 0, 2] += 1
    wrong = tmp_path / "wrong.capsule"
    tensors = list(capsule.outputs)
    tensors[1] = replace(tensors[1], values=changed)
    write_capsule(wrong, replace(capsule, outputs=tuple(tensors)))
    assert not replay(wrong).passed
    target = tmp_path / "report.json"
    assert run_runner(["--selftest", str(wrong), "--selftest-only", "--json", str(target)]) == 4
    first = json.loads(target.read_text())["selftest"]["first_difference"]
    assert (first["tensor"], first["dtype"], first["input"], first["index"]) == ("z", "int64", 3, [5, 0, 2])
    assert first["expected_bits"] == f"0x{int(changed[3, 5, 0, 2]):016x}"


@pytest.mark.parametrize("kind", [FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_zeros_and_nans_of_a_capsule(tmp_path: Path, kind: int) -> None:
    """Python and the runner have one rule: any NaN equals any NaN, and a zero the other zero; a NaN is no number."""
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["z"]),
        helper.make_node("Add", ["z", "c"], ["f"]),
        helper.make_node("Cast", ["f"], ["y"], to=kind),
    ]
    constants: dict[str, Array] = {
        "zero": np.zeros((), np.float32),
        "c": np.array([[np.nan, 0, 1, np.inf]], np.float32),
    }
    model = save(tmp_path / "a.onnx", nodes, [value("y", kind, [1, 4])], constants)
    capsule = read_capsule(golden_capsule.make(model, tmp_path / "a.capsule"))
    (output,) = capsule.outputs
    for place, number, passed in (
        (0, -np.nan, True),
        (1, -0.0, True),
        (0, 1, False),
        (2, np.nan, False),
        (3, -np.inf, False),
    ):
        values = output.values.copy()
        values[2, place] = number
        path = tmp_path / "b.capsule"
        write_capsule(path, replace(capsule, outputs=(replace(output, values=values.astype(dtype)),)))
        assert replay(path).passed == passed
        assert run_runner(["--selftest", str(path), "--selftest-only"]) == (0 if passed else 4)


def test_a_shape_for_every_input_fits_no_capsule(tmp_path: Path) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["where"])]
    model = save(tmp_path / "a.onnx", nodes, [value("where", TensorProto.INT64, [2, "count"])], {}, (1, 4))
    inputs = np.array([[1, 0, 1, 1], [0, 0, 0, 1]], np.float32)
    with pytest.raises(ModelRefusedError, match="a capsule holds tensors of one shape"):
        build(model, [inputs])


def tflite(path: Path, last: float, change: Callable[[Any], object] = lambda tensors: None) -> Path:
    """y [6, 1, 4] = x [1, 1, 4] * c, whose rows from the second on are `last`; and y as int64; `change` of the tensors at the end."""
    schema = importlib.import_module("ai_edge_litert.schema_py_generated")
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT(), schema.BufferT()]
    scale = np.ones((6, 1, 4), np.float32)
    scale[2:] = last
    model.buffers[1].data = np.frombuffer(scale.tobytes(), np.uint8)
    graph.tensors, graph.operators, model.operatorCodes = [], [], []
    kinds = schema.TensorType
    for name, kind, shape, buffer in (
        ("x", kinds.FLOAT32, (1, 1, 4), 0),
        ("c", kinds.FLOAT32, (6, 1, 4), 1),
        ("y", kinds.FLOAT32, (6, 1, 4), 0),
        ("z", kinds.INT64, (6, 1, 4), 0),
    ):
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.shape, tensor.buffer = name, kind, list(shape), buffer
        graph.tensors.append(tensor)
    for i, (number, inputs, output) in enumerate(
        ((schema.BuiltinOperator.MUL, [0, 1], 2), (schema.BuiltinOperator.CAST, [2], 3))
    ):
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = number
        code.deprecatedBuiltinCode = number
        operator.opcodeIndex, operator.inputs, operator.outputs = i, inputs, [output]
        model.operatorCodes.append(code)
        graph.operators.append(operator)
    graph.operators[0].builtinOptionsType = schema.BuiltinOptions.MulOptions
    graph.operators[0].builtinOptions = schema.MulOptionsT()
    graph.inputs, graph.outputs = [0], [2, 3]
    change(graph.tensors)
    path.write_bytes(pack_tflite(model, schema))
    return path


@pytest.mark.parametrize("count", [1, 2, 40])
def test_tflite_files_are_compared_whole_and_in_their_types(tmp_path: Path, count: int) -> None:
    a, b = tflite(tmp_path / "a.tflite", 1.0), tflite(tmp_path / "b.tflite", -1.0)
    result = compare_models(a, b, f"random:{count}")
    assert result.comparison.values == 48 * count
    assert not result.passed
    same = compare_models(a, a, f"random:{count}")
    assert (same.comparison.values, same.comparison.equal) == (48 * count, True)
    # And with ONNX's, by their values: the rows are those of the same image.
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["y"]),
        helper.make_node("Cast", ["y"], ["z"], to=TensorProto.INT64),
    ]
    outputs = [value("y", FLOAT, [6, 1, 4]), value("z", TensorProto.INT64, [6, 1, 4])]
    onnx_file = save(tmp_path / "a.onnx", nodes, outputs, {"c": np.ones((6, 1, 4), np.float32)}, (1, 1, 4))
    assert compare_models(onnx_file, a, f"random:{count}").comparison.equal


@pytest.mark.parametrize(
    ("place", "fields", "said"),
    [
        (0, {"shape": [], "hasRank": True}, "input x is a scalar; inputs are float32"),
        (0, {"shape": []}, "input x is a scalar or of unknown rank; inputs are float32"),
        (0, {"type": 2}, "input x is int32; inputs are float32"),
        (3, {"type": 5}, "output z is of type string; outputs of numbers and booleans are run"),
        (3, {"type": 8}, "output z is of type complex64; outputs"),
    ],
)
def test_what_a_tflite_file_has_instead_of_tensors_of_numbers_is_named(
    tmp_path: Path, place: int, fields: dict[str, Any], said: str
) -> None:
    def change(tensors: Any) -> None:
        for field, content in fields.items():
            setattr(tensors[place], field, content)

    path = tflite(tmp_path / "a.tflite", 1.0, change)
    with pytest.raises(ModelRefusedError, match=said):
        compare_models(path, path, "random:1")


def test_a_capsule_of_a_tflite_file_of_another_layout(tmp_path: Path) -> None:
    path = golden_capsule.make(tflite(tmp_path / "a.tflite", 0.5), tmp_path / "a.capsule")
    outputs = read_capsule(path).outputs
    assert [(t.values.dtype.name, t.shape) for t in outputs] == [("float32", (6, 1, 4)), ("int64", (6, 1, 4))]
    assert replay(path).passed
    assert run_runner(["--selftest", str(path), "--selftest-only"]) == 0
