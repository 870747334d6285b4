"""Golden capsules of real files: filled, replayed on other kernels and threads, read by the C program."""

from __future__ import annotations

import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.conformance import network, network_inputs
from fdabnn_deploy.errors import ParityError
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, FloatArray, GlobalAvgPool, Input, Sign
from fdabnn_deploy.ir.reference import evaluate_all
from fdabnn_deploy.system.programs_testing import wanted_compiler
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.verify.capsule import Capsule, fnv1a64, hash_words, pack_signs, read_capsule, write_capsule
from fdabnn_deploy.verify.capsule_replay import DEFAULT_INPUTS, build, replay, write_golden
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime
from fdabnn_tflite.runtime.lce import LceRuntime
from fdabnn_tflite.runtime.litert import LiteRtRuntime
from fdabnn_tflite.runtime.session import packed_tensors
from fdabnn_tflite.runtime.tensors import Layout
from fdabnn_tflite.runtime.tflite_file import read_tflite

pytestmark = pytest.mark.programs

READER = Path(__file__).parents[1] / "tools" / "capsule" / "read_capsule.c"
COUNT = 3


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Per target a file of the network in which every operator occurs."""
    folder = tmp_path_factory.mktemp("capsule")
    paths = {}
    for target in ("onnx", "tflite"):
        converter = find_converter(target)
        paths[target] = folder / f"network.{target}"
        converter.convert(network(), ModelInfo("network", (3, 9, 9)), paths[target], ConvertOptions())
    return paths


@pytest.fixture(scope="module")
def capsule(files: dict[str, Path]) -> Capsule:
    """Of the TFLite file."""
    return build(files["tflite"], network_inputs(COUNT))


def two_binary_layers() -> tuple[Graph, FloatArray]:
    """40 channels, so two words with a rest; without padding, so that the first layer packs its own output."""
    rng = np.random.default_rng(0)
    weights = [rng.choice(np.array([-1, 1], np.int8), (40, c, 3, 3)) for c in (3, 40)]
    nodes = [
        Node("input", Input((3, 8, 8))),
        Node("a/sign", Sign(), ("input",)),
        Node("a/conv", BinaryConv2d(weights[0]), ("a/sign",)),
        Node("a/limit", Affine(np.where(np.arange(40) % 3, 1.0, -1.0), np.arange(40) % 5 - 2.5), ("a/conv",)),
        Node("b/sign", Sign(), ("a/limit",)),
        Node("b/conv", BinaryConv2d(weights[1]), ("b/sign",)),
        Node("output", GlobalAvgPool(), ("b/conv",)),
    ]
    return Graph(nodes, ["output"]), rng.standard_normal((COUNT, 3, 8, 8)).astype(np.float32)


def test_the_packed_words_are_those_of_the_signs(tmp_path: Path) -> None:
    graph, images = two_binary_layers()
    path = tmp_path / "two.tflite"
    find_converter("tflite").convert(graph, ModelInfo("two", (3, 8, 8)), path, ConvertOptions())
    packed = {tensor.name: tensor for tensor in build(path, [images]).packed}
    assert read_tflite(path).op_counts()["LceQuantize"] == 1
    signs = evaluate_all(graph, [images])
    assert list(packed) == ["a/sign", "b/sign"]
    flipped = {
        p.name for p in LceRuntime().open(path).tensor_map.tensors if p.flipped and p.layout is Layout.PACKED
    }
    for name, tensor in packed.items():
        expected = signs[name][:, :, ::-1, ::-1] if name in flipped else signs[name]
        words = pack_signs(expected)
        assert tensor.shape == words.shape[1:]
        assert tensor.hashes.tolist() == hash_words(words).tolist()


def test_every_packed_tensor_is_in_it(files: dict[str, Path], capsule: Capsule) -> None:
    file = read_tflite(files["tflite"])
    assert capsule.model == files["tflite"].read_bytes()
    assert [tensor.name for tensor in capsule.packed] == [file.tensors[i].name for i in packed_tensors(file)]
    assert len(capsule.packed) >= file.op_counts()["LceQuantize"] == 3
    assert [tensor.shape for tensor in capsule.inputs] == [(9, 9, 3), (4,)]
    assert [tensor.name for tensor in capsule.outputs] == ["probabilities", "largest"]
    assert not capsule.exact


@pytest.mark.parametrize(("kernels", "threads"), [("default", 1), ("default", 2), ("indirect", 1)])
def test_it_is_replayed(
    files: dict[str, Path], capsule: Capsule, kernels: str, threads: int, tmp_path: Path
) -> None:
    write_capsule(tmp_path / "net.capsule", capsule)
    session = LceRuntime().open(files["tflite"], threads, kernels)  # type: ignore[arg-type]
    result = replay(tmp_path / "net.capsule", session)
    assert result.differing == ()
    assert result.packed == len(capsule.packed)


def test_it_carries_its_model(capsule: Capsule, files: dict[str, Path]) -> None:
    assert replay(capsule).passed
    onnx = build(files["onnx"], network_inputs(COUNT))
    assert (onnx.target, onnx.packed) == ("onnx", ())
    assert [tensor.shape for tensor in onnx.inputs] == [(3, 9, 9), (4,)]
    assert replay(onnx).passed


def test_what_differs_is_named(capsule: Capsule) -> None:
    inputs = (replace(capsule.inputs[0], values=-capsule.inputs[0].values), *capsule.inputs[1:])
    result = replay(replace(capsule, inputs=inputs))
    assert not result.passed
    assert result.differing[0] == capsule.packed[0].name
    assert result.outputs.first is not None


def test_no_capsule_of_a_file_that_computes_something_else(files: dict[str, Path]) -> None:
    inputs = network_inputs(COUNT)
    expected = OnnxRuntime().open(files["onnx"]).run(inputs)
    build(files["onnx"], inputs, expected)
    expected[0][1, 2] = np.nextafter(expected[0][1, 2], np.float32(2))
    with pytest.raises(
        ParityError, match=r"network\.onnx computes 1 of \d+ output values otherwise than expected"
    ):
        build(files["onnx"], inputs, expected)


def test_an_export_has_one_capsule(files: dict[str, Path], tmp_path: Path) -> None:
    inputs = network_inputs(COUNT)
    expected = LiteRtRuntime().open(files["tflite"]).run(inputs)
    write_golden(tmp_path / "net.capsule", [files["onnx"], files["tflite"]], inputs, expected)
    assert read_capsule(tmp_path / "net.capsule").target == "tflite"
    many = [np.tile(value, (9, *(1,) * (value.ndim - 1))) for value in inputs]
    expected = OnnxRuntime().open(files["onnx"]).run(many)
    assert len(write_golden(tmp_path / "net.capsule", [files["onnx"]], many, expected)) == DEFAULT_INPUTS


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, compiled."""
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    compiler = wanted_compiler("cc", flags)
    program = tmp_path_factory.mktemp("reader") / "read_capsule"
    subprocess.run([compiler, *flags, "-o", str(program), str(READER)], check=True, timeout=120)
    return program


def test_the_c_program_is_short() -> None:
    assert len(READER.read_text(encoding="utf-8").splitlines()) <= 50


def test_the_c_program_reads_the_same(capsule: Capsule, reader: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.capsule"
    write_capsule(path, capsule)
    done = subprocess.run([reader, path], capture_output=True, text=True, check=True, timeout=60)
    model = fnv1a64(np.frombuffer(capsule.model[:], np.uint8)[None])[0]
    lines = [f"tflite model {len(capsule.model)} 0x{model:016x}, {COUNT} inputs, float"]
    for kind, tensors in (("input", capsule.inputs), ("output", capsule.outputs)):
        for tensor in tensors:
            hashes = hash_words(tensor.values.view(np.int32))
            lines += [f"{kind} {tensor.name} {n} 0x{value:016x}" for n, value in enumerate(hashes)]
    for packed in capsule.packed:
        lines += [f"packed {packed.name} {n} 0x{value:016x}" for n, value in enumerate(packed.hashes)]
    assert done.stdout.splitlines() == lines
    assert read_capsule(path).model == capsule.model


def test_the_c_program_refuses_damage(capsule: Capsule, reader: Path, tmp_path: Path) -> None:
    write_capsule(tmp_path / "net.capsule", capsule)
    content = (tmp_path / "net.capsule").read_bytes()
    damaged = [content[:50], content[:-1], b"", content[:200] + b"\xff" + content[201:], b"X" + content[1:]]
    for i, data in enumerate(damaged):
        (tmp_path / "damaged").write_bytes(data)
        done = subprocess.run(
            [reader, tmp_path / "damaged"], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 1, i
        assert done.stderr.startswith("not a sound capsule: "), i


FIELDS = [
    *((0, place, size, reason) for place, size, reason in ((0, 8, "name"), (8, 8, "entry"), (16, 8, "entry"), (24, 4, "entry"))),
    *((-1, place, size, reason) for place, size, reason in ((0, 8, "name"), (8, 8, "entry"), (24, 4, "entry"))),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "place", "size", "reason"), FIELDS)
def test_the_c_program_trusts_no_entry(
    capsule: Capsule, reader: Path, tmp_path: Path, entry: int, place: int, size: int, reason: str
) -> None:
    """A field of the first entry, an input, or the last, packed signs, that leads beyond the end, under a right checksum."""
    path = tmp_path / "net.capsule"
    write_capsule(path, capsule)
    content = bytearray(path.read_bytes())
    table, entries = struct.unpack_from("<QI", content, 56)
    begin = table + 64 * (entry % entries) + place
    content[begin : begin + size] = b"\xff" * size
    struct.pack_into("<I", content, 12, zlib.crc32(content[16:]))
    path.write_bytes(content)
    done = subprocess.run([reader, path], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, f"not a sound capsule: {reason}\n")


def test_the_c_program_wants_names_that_end(capsule: Capsule, reader: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.capsule"
    write_capsule(path, capsule)
    content = bytearray(path.read_bytes())
    (table,) = struct.unpack_from("<Q", content, 56)
    # Letters at the end of the file, and the first name among them.
    content += b"x" * 8
    struct.pack_into("<Q", content, 16, len(content))
    struct.pack_into("<Q", content, table, len(content) - 8)
    struct.pack_into("<I", content, 12, zlib.crc32(content[16:]))
    path.write_bytes(content)
    done = subprocess.run([reader, path], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "not a sound capsule: name\n")
