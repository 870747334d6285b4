"""fdabnn-runner on real files and runtimes: equal bits, planted differences, times of every operator, its report."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.native import delegate_path, runner_path
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.verify.capsule import read_capsule, to_bytes, write_capsule
from fdabnn_deploy.verify.capsule_replay import build
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.tflite_file import read_tflite

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "fdabnn_deploy" / "schemas" / "runner.schema.json").read_text()
)
KINDS = ("tflite", "onnx", "packed")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def libraries(runtime_libraries: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runner in a folder with what it needs, as on a device."""
    folder = tmp_path_factory.mktemp("device")
    for path in (Path(runner_path()), Path(delegate_path()), *runtime_libraries.values()):
        try:
            os.link(path, folder / path.name)
        except OSError:
            (folder / path.name).write_bytes(path.read_bytes())
            (folder / path.name).chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def run(libraries: Path) -> Run:
    def run_one(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(libraries / "fdabnn-runner"), *map(str, arguments)],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run_one


def report(done: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
    """The JSON on the standard output, which its schema has to allow."""
    assert done.returncode == code, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(content, SCHEMA, cls=jsonschema.Draft202012Validator)
    return content


def failed(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("fdabnn-runner: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("threads", [1, 2])
def test_the_self_test_passes(kind: str, threads: int, run: Run, resnet20_capsules: dict[str, Any]) -> None:
    capsule = resnet20_capsules[kind].capsule
    found = report(run("--selftest", capsule, "--selftest-only", "--threads", threads, "--json", "-"))
    packed = 18 if kind == "tflite" else 0
    assert found["selftest"] == {
        "capsule": str(capsule), "exact": True, "same_accuracy": False, "inputs": 5, "outputs": 1, "passed": True,
        "first_difference": None, "packed_tensors": packed, "packed_tensors_checked": packed,
    }  # fmt: skip
    assert found["latency"] is None
    assert found["settings"]["threads"] == threads


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("xnnpack", ["on", "off"])
def test_outputs_are_those_of_python(
    kind: str, xnnpack: str, run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    files, out = resnet20_capsules[kind], tmp_path / "outputs"
    capsule = read_capsule(files.capsule)
    done = run(
        *(files.model, "--inputs", files.capsule, "--outputs", out, "--runs", 1, "--xnnpack", xnnpack, "--json", os.devnull)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    images = capsule.inputs[0].values
    if kind == "tflite":
        expected = LiteRtRuntime().open(files.model).run([images.transpose(0, 3, 1, 2)])
    else:
        expected = OnnxRuntime().open(files.model).run([images])
    found = np.fromfile(out, np.float32).reshape(5, 10)
    assert np.array_equal(found, expected[0])
    assert len(np.unique(found)) > 10


def test_several_inputs_outputs_and_images_at_a_time(run: Run, tmp_path: Path) -> None:
    """The network with every operator. Its signature orders tensors by name, a capsule as the file does."""
    inputs = network_inputs(5)
    for target in ("tflite", "onnx"):
        converter = find_converter(target)
        for batch in (1, 2):
            path = tmp_path / f"network{batch}.{target}"
            converter.convert(network(), ModelInfo("network", (3, 9, 9)), path, ConvertOptions(batch=batch))
            capsule = tmp_path / f"{target}{batch}.capsule"
            write_capsule(capsule, build(path, inputs))
            found = report(
                run("--selftest", capsule, "--outputs", tmp_path / "out", "--selftest-only", "--json", "-")
            )
            assert found["selftest"]["passed"]
            assert found["selftest"]["outputs"] == 2
            assert found["selftest"]["packed_tensors_checked"] == len(read_capsule(capsule).packed)
            expected = [tensor.values.ravel() for tensor in read_capsule(capsule).outputs]
            assert np.array_equal(np.fromfile(tmp_path / "out", np.float32), np.concatenate(expected))


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_byte_is_found(
    kind: str, run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    capsule = read_capsule(resnet20_capsules[kind].capsule)
    output = capsule.outputs[0]
    values = output.values.copy()
    values.view(np.uint32)[3, 7] ^= 1
    wrong = tmp_path / "wrong.capsule"
    write_capsule(wrong, dataclasses.replace(capsule, outputs=(dataclasses.replace(output, values=values),)))
    done = run("--selftest", wrong, "--json", "-")
    found = report(done, 4)
    bits = [int(array.view(np.uint32)[3, 7]) for array in (values, output.values)]
    assert found["selftest"]["first_difference"] == {
        "tensor": output.name, "kind": "output", "input": 3, "index": [7],
        "dtype": "float32", "expected": float(values[3, 7]), "expected_bits": f"0x{bits[0]:08x}",
        "found": float(output.values[3, 7]), "found_bits": f"0x{bits[1]:08x}",
    }  # fmt: skip
    assert (found["selftest"]["passed"], found["latency"]) == (False, None)
    said = failed(done, 4)
    assert f"self-test failed: input 3, tensor {output.name}, index [7]: expected " in said
    assert f"0x{bits[0]:08x}" in said


def test_the_first_inner_layer_that_differs_is_named(
    run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    """An output differs as well, but the layer comes first."""
    capsule = read_capsule(resnet20_capsules["tflite"].capsule)
    hashes = [tensor.hashes.copy() for tensor in capsule.packed]
    hashes[4][2] ^= np.uint64(1)
    hashes[9][2] ^= np.uint64(1)
    values = capsule.outputs[0].values.copy()
    values[2] = np.nan
    changed = dataclasses.replace(
        capsule,
        packed=tuple(dataclasses.replace(t, hashes=h) for t, h in zip(capsule.packed, hashes, strict=True)),
        outputs=(dataclasses.replace(capsule.outputs[0], values=values),),
    )
    wrong = tmp_path / "wrong.capsule"
    write_capsule(wrong, changed)
    found = report(run("--selftest", wrong, "--selftest-only", "--json", "-"), 4)
    first = found["selftest"]["first_difference"]
    assert (first["tensor"], first["kind"], first["input"]) == (capsule.packed[4].name, "packed", 2)
    assert (first["index"], first["expected"]) == ([], None)
    assert first["expected_bits"] == f"0x{int(hashes[4][2]):016x}"
    assert first["found_bits"] == f"0x{int(capsule.packed[4].hashes[2]):016x}"


def test_what_is_no_number_and_the_sign_of_zero(
    run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    capsule = read_capsule(resnet20_capsules["onnx"].capsule)
    values = capsule.outputs[0].values.copy()
    values[0, 1] = np.inf
    wrong = tmp_path / "wrong.capsule"
    write_capsule(
        wrong, dataclasses.replace(capsule, outputs=(dataclasses.replace(capsule.outputs[0], values=values),))
    )
    first = report(run("--selftest", wrong, "--json", "-"), 4)["selftest"]["first_difference"]
    assert (first["expected"], first["expected_bits"]) == (None, "0x7f800000")


@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_is_timed(kind: str, run: Run, resnet20_capsules: dict[str, Any]) -> None:
    files = resnet20_capsules[kind]
    found = report(
        run(files.model, "--inputs", files.capsule, "--per-op", "--runs", 7, "--warmup", 2, "--cpus", 0, "--json", "-")
    )  # fmt: skip
    assert len(found["latency"]["samples"]) == len(found["ops_latency"]["samples"]) == 7
    ops = found["ops"]
    assert [op["index"] for op in ops] == list(range(len(ops)))
    assert all(len(op["samples"]) == 7 and op["median"] == sorted(op["samples"])[3] for op in ops)
    assert found["ops_total_median"] == sum(op["median"] for op in ops)
    # What is measured inside a run takes no longer than the run.
    for i, whole in enumerate(found["ops_latency"]["samples"]):
        inner = sum(op["samples"][i] for op in ops)
        assert inner <= whole + len(ops) * found["ops_resolution_ns"]
    types = [op["type"] for op in ops]
    if kind == "tflite":
        file = read_tflite(files.model)
        assert sorted(n for op in ops for n in op["nodes"]) == list(range(len(file.operators)))
        assert types.count("LceBconv2d") == file.op_counts()["LceBconv2d"] == 18
        assert types.count("FdabnnConvSum") == 1
        assert "TfLiteXNNPackDelegate" not in {op["kernel"] for op in ops}
        assert all(op["type"] == file.operators[op["node"]].name for op in ops if len(op["nodes"]) == 1)
        partitions = [op for op in found["ops_xnnpack"] if op["kernel"] == "TfLiteXNNPackDelegate"]
        assert partitions
        assert max(len(op["nodes"]) for op in partitions) > 1
        assert sorted(n for op in found["ops_xnnpack"] for n in op["nodes"]) == list(
            range(len(file.operators))
        )
    else:
        assert found["ops_xnnpack"] is None
        assert types.count("BinaryConv") == (18 if kind == "packed" else 0)
    assert found["settings"]["cpus"] == [0]


def test_the_report_says_what_ran(
    run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path, libraries: Path
) -> None:
    files, path = resnet20_capsules["tflite"], tmp_path / "report.json"
    done = run(
        *(files.model, "--seconds", 0.05, "--json", path, "--threads", 2, "--xnnpack", "off"), FDABNN_KERNELS="scalar"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "latency: median" in done.stdout
    found = json.loads(path.read_text())
    jsonschema.validate(found, SCHEMA, cls=jsonschema.Draft202012Validator)
    assert found["settings"] == {
        "threads": 2, "cpus": None, "warmup": 10, "runs": None, "seconds": 0.05, "xnnpack": False, "inputs": "generated"
    }  # fmt: skip
    assert found["runtime"]["kernels"] == "scalar"
    assert Path(found["runtime"]["path"]).name == "libLiteRt.so"
    assert sum(found["latency"]["samples"]) <= 1.5 * 0.05e9 + found["latency"]["max"]
    assert found["memory"]["model_bytes"] == files.model.stat().st_size
    assert 2e6 < found["memory"]["peak_bytes"] < 200e6
    assert found["ops"] is None
    assert found["device"]["cores"] == os.cpu_count()
    assert found["state"]["before"].keys() == found["state"]["after"].keys()
    assert sorted(child.name for child in tmp_path.iterdir()) == ["report.json"]


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
@pytest.mark.parametrize("kind", ["float", "int8 inside", "int8"])
def test_files_without_binary_layers(kind: str, run: Run, tmp_path: Path) -> None:
    """A float network, as a baseline, exported by TensorFlow itself."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    conv = tf.constant(rng.normal(size=(3, 3, 3, 8)).astype(np.float32))
    images = rng.normal(size=(4, 1, 16, 16, 3)).astype(np.float32)

    def compute(x: Any) -> Any:
        return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(x, conv, 1, "SAME")), [1, 2])

    function = tf.function(compute).get_concrete_function(tf.TensorSpec((1, 16, 16, 3), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if kind == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    path = tmp_path / "model.tflite"
    path.write_bytes(converter.convert())
    found = report(run(path, "--per-op", "--runs", 3, "--json", "-"))
    types = [op["type"] for op in found["ops"]]
    assert [name for name in types if "QUANTIZE" not in name] == ["CONV_2D", "MEAN"]
    assert ("QUANTIZE" in types) == (kind == "int8 inside")
    assert found["settings"]["inputs"] == "generated"


def test_a_capsule_of_another_model(run: Run, resnet20_capsules: dict[str, Any]) -> None:
    said = failed(run(resnet20_capsules["tflite"].model, "--selftest", resnet20_capsules["onnx"].capsule), 3)
    assert "it is of another model" in said


def test_files_that_cannot_be_written(run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path) -> None:
    files = resnet20_capsules["packed"]
    for arguments, said, code in (
        (("--json", "/dev/full"), "cannot write /dev/full: No space left on device", 6),
        (("--json", tmp_path / "none" / "a.json"), "a.json: No such file or directory", 2),
        (("--json", tmp_path), "it is a folder: name a file", 2),
        (("--outputs", tmp_path, "--inputs", files.capsule), "it is a folder: name a file", 2),
        (("--outputs", "/dev/full", "--inputs", files.capsule), "cannot write /dev/full", 6),
    ):
        assert said in failed(run(files.model, "--runs", 1, *arguments), code)
    assert "where ONNX Runtime's profile goes: set TMPDIR" in failed(
        run(files.model, "--runs", 1, "--per-op", TMPDIR=str(tmp_path / "none")), 2
    )
    assert list(tmp_path.iterdir()) == []


def test_a_closed_standard_output_is_told(
    run: Run, libraries: Path, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    command = [str(libraries / "fdabnn-runner"), str(resnet20_capsules["onnx"].model), "--runs", "1"]
    for closed in (">&-", "<&- >&-"):
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$0" "$@" {closed}', *command],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert "cannot write the standard output: Bad file descriptor" in failed(done, 6)


def test_links_are_written_through(run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path) -> None:
    files = resnet20_capsules["packed"]
    targets = tmp_path / "report", tmp_path / "outputs"
    links = tmp_path / "report.json", tmp_path / "outputs.bin"
    targets[0].write_text("what was there before " * 1000)
    for link, target in zip(links, targets, strict=True):
        link.symlink_to(target)
    done = run(
        *(files.model, "--inputs", files.capsule, "--runs", 1, "--json", links[0], "--outputs", links[1])
    )
    assert done.returncode == 0, done.stderr
    assert all(link.is_symlink() for link in links)
    jsonschema.validate(json.loads(targets[0].read_text()), SCHEMA)
    assert targets[1].stat().st_size == read_capsule(files.capsule).outputs[0].values.nbytes


def test_outputs_replace_no_socket_and_are_alone_on_the_standard_output(
    run: Run, libraries: Path, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    files = resnet20_capsules["packed"]
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for option in ("--json", "--outputs"):
            said = failed(run(files.model, "--inputs", files.capsule, option, tmp_path / "socket"), 2)
            assert "it is a socket" in said
    assert (tmp_path / "socket").is_socket()
    command = [str(libraries / "fdabnn-runner"), str(files.model), "--runs", "1", "--json", "/dev/stdout"]
    for mode in ("wb", "ab"):
        with (tmp_path / "out").open(mode) as file:
            subprocess.run(command, stdout=file, check=True)
    text = (tmp_path / "out").read_text()
    first, end = json.JSONDecoder().raw_decode(text)
    jsonschema.validate(first, SCHEMA)
    jsonschema.validate(json.loads(text[end:]), SCHEMA)


def test_an_input_larger_than_any_memory(run: Run, tmp_path: Path) -> None:
    """Whose size in bytes, and what stands behind it, is more than a number of 64 bits."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3, 1537228672809129301])
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [result])
    path = tmp_path / "huge.onnx"
    opset = onnx.helper.make_opsetid("", 13)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    failed(run(path, "--runs", 1), 6)


def test_more_runs_than_the_profile_of_onnx_runtime_holds(run: Run, tmp_path: Path) -> None:
    names = [f"x{i}" for i in range(1001)]
    value, result = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 2])
        for name in (names[0], names[-1])
    )
    # Every other one is something else, or they would be joined.
    nodes = [onnx.helper.make_node(("Neg", "Exp")[i % 2], [names[i]], [names[i + 1]]) for i in range(1000)]
    graph = onnx.helper.make_graph(nodes, "g", [value], [result])
    path = tmp_path / "long.onnx"
    opset = onnx.helper.make_opsetid("", 13)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    done = run(path, "--per-op", "--warmup", 1200, "--runs", 900, "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # its schema takes a minute for so many figures
    assert len(found["latency"]["samples"]) == 900
    assert {len(op["samples"]) for op in found["ops"]} == {len(found["ops_latency"]["samples"])} == {248}
    assert len(found["ops"]) == 1000


def test_a_profile_does_not_outlive_who_is_told_to_end(
    run: Run, libraries: Path, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = subprocess.Popen(
            [
                *(str(libraries / "fdabnn-runner"), str(resnet20_capsules["onnx"].model), "--per-op"),
                *("--seconds", "3", "--warmup", "0"),
            ],
            env=os.environ | {"TMPDIR": str(tmp_path)},
            stdout=subprocess.DEVNULL,
        )
        while not list(tmp_path.glob("fdabnn-runner-*/*")):
            assert process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        assert process.wait(timeout=10) == 128 + number
        assert list(tmp_path.glob("fdabnn-runner-*")) == []


def test_the_profile_of_onnx_runtime_does_not_stay(
    run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    assert run(resnet20_capsules["onnx"].model, "--runs", 1, "--per-op", TMPDIR=str(tmp_path)).returncode == 0
    # ONNX Runtime 1.32 leaves this itself, wherever it is loaded.
    assert {path.name for path in tmp_path.iterdir()} <= {".ses"}


def test_our_operators_without_their_library(
    run: Run, resnet20_capsules: dict[str, Any], libraries: Path, tmp_path: Path
) -> None:
    assert "operators of the domain fdabnn" in failed(
        run(resnet20_capsules["packed"].model, "--delegate", tmp_path / "none"), 6
    )
    assert "binary operators are in it" in failed(
        run(resnet20_capsules["tflite"].model, "--delegate", tmp_path / "none"), 6
    )
    assert "sse9" in failed(run(resnet20_capsules["tflite"].model, FDABNN_KERNELS="sse9"), 2)


def test_a_system_that_is_too_old(
    run: Run, resnet20_capsules: dict[str, Any], libraries: Path, tmp_path: Path
) -> None:
    """A C++ library that is none, and a C library that lacks a version that is asked for."""
    model = resnet20_capsules["tflite"].model
    (tmp_path / "libstdc++.so.6").write_text("no library")
    said = failed(run(model, LD_LIBRARY_PATH=str(tmp_path)), 6)
    assert "cannot load libLiteRt.so" in said
    assert "apt install libstdc++6" in said
    content = (libraries / "libLiteRt.so").read_bytes()
    newest = max(re.findall(rb"\0(GLIBC_2\.\d\d)\0", content))
    library = tmp_path / "libLiteRt.so"
    library.write_bytes(content.replace(b"\0" + newest + b"\0", b"\0GLIBC_9.99\0"))
    said = failed(run(model, "--runtime", library), 6)
    assert "GLIBC_9.99" in said
    assert "the C library of this system is older" in said


def task_count(arguments: list[str]) -> int:
    """Threads of the child that does the work, once it has started them all."""
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL) as process:
        try:
            seen: list[int] = []
            while len(seen) < 20 or len(set(seen[-10:])) > 1:
                time.sleep(0.1)
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                seen += [len(list(Path(f"/proc/{child}/task").iterdir())) for child in children]
            return seen[-1]
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("kind", "xnnpack", "pools"), [("tflite", "off", 1), ("tflite", "on", 2), ("packed", "on", 1)]
)
def test_the_number_of_threads_reaches_everybody(
    kind: str, xnnpack: str, pools: int, libraries: Path, resnet20_capsules: dict[str, Any]
) -> None:
    """XNNPACK has a pool of its own; our operators share that of ONNX Runtime, but not of LiteRT."""
    command = [
        *(str(libraries / "fdabnn-runner"), str(resnet20_capsules[kind].model)),
        *("--seconds", "60", "--xnnpack", xnnpack, "--threads"),
    ]
    one, three = (task_count([*command, threads]) for threads in ("1", "3"))
    assert three - one == 2 * pools


def test_a_truncated_or_flipped_model(run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path) -> None:
    """TFLite files of ours carry a checksum: no damage passes."""
    content = resnet20_capsules["tflite"].model.read_bytes()
    path = tmp_path / "model.tflite"
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(content), 20).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        for kept in (bytes(damaged), content[:place]):
            path.write_bytes(kept)
            assert re.search(r"damaged or not", failed(run(path), 3))


def test_the_model_in_a_capsule_is_checked(
    run: Run, resnet20_capsules: dict[str, Any], tmp_path: Path
) -> None:
    capsule = read_capsule(resnet20_capsules["tflite"].capsule)
    path = tmp_path / "damaged.capsule"
    path.write_bytes(to_bytes(dataclasses.replace(capsule, model=capsule.model[:-1])))
    assert "damaged.capsule is damaged or not a TFLite file" in failed(run("--selftest", path), 3)
