"""ONNX files that keep their data beside themselves, and such that have changed since they were exported: everywhere that opens them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from fdabnn_deploy.cli import parity, profile, runner
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import BinaryConv2d, GlobalAvgPool, Input, Sign
from fdabnn_deploy.measure.profiles import golden_capsule
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.verify.capsule import read_capsule
from fdabnn_deploy.verify.capsule_replay import replay
from fdabnn_onnx.runtime.checksum import KEY, status
from fdabnn_onnx.runtime.onnx_file import DamagedError


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "net.onnx"
    weight = np.random.default_rng(0).choice(np.array([-1, 1], np.int8), (40, 3, 3, 3))
    nodes = [
        Node("input", Input((3, 8, 8))),
        Node("conv/sign", Sign(), ("input",), "conv"),
        Node("conv/binary_conv", BinaryConv2d(weight), ("conv/sign",), "conv"),
        Node("output", GlobalAvgPool(), ("conv/binary_conv",)),
    ]
    info = ModelInfo("net", (3, 8, 8), mean=(0.5,) * 3, std=(0.25,) * 3)
    find_converter("onnx").convert(Graph(nodes, ["output"]), info, path, ConvertOptions())
    return path


def run_runner(*arguments: object) -> tuple[int, str]:
    command = runner.command([str(argument) for argument in arguments])
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stderr


def external(exported: Path, folder: Path) -> Path:
    folder.mkdir()
    path = folder / "net.onnx"
    model = onnx.load(exported)
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    return path


def test_data_beside_the_model(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parity, runner, capsule and profile open it by its path, from another folder with a decoy, and embed and push all of it."""
    path = external(exported, tmp_path / "model")
    decoys = tmp_path / "decoys"
    decoys.mkdir()
    (decoys / "net.data").write_bytes(bytes((path.parent / "net.data").stat().st_size))
    monkeypatch.chdir(decoys)
    assert parity.main([str(path), str(exported), "--inputs", "random:3"]) == 0
    # Its data are back in their places: it is the model that was exported.
    assert "has changed" not in capsys.readouterr().out
    capsule = golden_capsule.make(path, tmp_path / "net.capsule")
    assert read_capsule(capsule).model == exported.read_bytes()
    assert replay(capsule).passed
    assert run_runner(path, "--selftest", capsule, "--selftest-only") == (0, "")
    report = tmp_path / "profile.json"
    assert profile.main([str(path), "--runs", "5", "--warmup", "1", "--json", str(report)]) == 0
    assert json.loads(report.read_text())["model"]["bytes"] == exported.stat().st_size
    capsys.readouterr()
    (path.parent / "net.data").unlink()
    missing = "keeps its data in net.data, which is not beside it"
    for main, more in ((parity.main, [str(exported), "--inputs", "random:3"]), (profile.main, [])):
        assert main([str(path), *more]) == 2
        assert missing in " ".join(capsys.readouterr().err.split())
    code, said = run_runner(path)
    assert code == 2
    assert missing in said


@pytest.mark.parametrize(
    ("entry", "text", "reason"),
    [
        ("location", "/etc/hostname", "is no file inside the model's folder"),
        ("location", "../net.data", "is no file inside the model's folder"),
        ("location", "..\\net.data", "is no file inside the model's folder"),
        ("location", "link", "leads out of the model's folder through a link"),
        ("location", ".", "is no file|leads out of"),
        ("location", "", "it names no file"),
        ("offset", "99999999", "it ends"),
        ("offset", "-1", "."),
        ("offset", "1x", "is no number"),
        ("length", "3", "it names 3 bytes"),
    ],
)
def test_the_runner_takes_data_by_the_same_rules(
    exported: Path, tmp_path: Path, entry: str, text: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = external(exported, tmp_path / "model")
    (tmp_path / "secret").write_bytes(bytes(100_000))
    (tmp_path / "model" / "link").symlink_to(tmp_path / "secret")
    model = onnx.load(path, load_external_data=False)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    for each in tensor.external_data:
        if each.key == entry:
            each.value = text
    path.write_bytes(model.SerializeToString())
    code, said = run_runner(path)
    assert code == 3
    capsys.readouterr()
    assert parity.main([str(path), str(exported), "--inputs", "random:1"]) == 3
    python = " ".join(capsys.readouterr().err.split())
    for message in (said, python):
        assert re.search(reason, message)
        assert f"the data of tensor {tensor.name} are not taken" in message


def changed(exported: Path, folder: Path) -> Path:
    """With a weight of another sign, as one flipped bit makes it."""
    path = folder / "changed.onnx"
    model = onnx.load(exported)
    weight = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = bytearray(weight.raw_data)
    values[3] ^= 0x80
    weight.raw_data = bytes(values)
    onnx.save(model, path)
    return path


def test_a_file_that_has_changed(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parity says so and compares; runner and profile refuse it, unless told."""
    path = changed(exported, tmp_path)
    report = tmp_path / "parity.json"
    parity.main([str(path), str(exported), "--inputs", "random:3", "--json", str(report)])
    assert f"{path} has changed since its export" in " ".join(capsys.readouterr().out.split())
    sides = json.loads(report.read_text())
    assert (sides["a"]["checksum"], sides["b"]["checksum"]) == ("changed", "fits")
    code, said = run_runner(path, "--runs", "1")
    assert code == 3
    assert "has changed since it was exported" in said
    assert run_runner(path, "--runs", "1", "--ignore-checksum") == (0, "")
    assert profile.main([str(path), "--runs", "5", "--warmup", "1"]) == 3
    assert "has changed since it was exported" in " ".join(capsys.readouterr().err.split())
    assert profile.main([str(path), "--runs", "5", "--warmup", "1", "--ignore-checksum"]) == 0


def test_an_older_file(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "older.onnx"
    model = onnx.load(exported)
    for entry in [entry for entry in model.metadata_props if entry.key == KEY]:
        model.metadata_props.remove(entry)
    onnx.save(model, path)
    assert parity.main([str(path), str(exported), "--inputs", "random:3"]) == 0
    assert f"{path} has no checksum" in " ".join(capsys.readouterr().out.split())
    assert run_runner(path, "--runs", "1") == (0, "")


def python_sees(content: bytes) -> bool:
    try:
        return status(content) == "changed"
    except DamagedError:
        return True


def test_the_runner_sees_every_damaged_byte_that_python_sees(exported: Path, tmp_path: Path) -> None:
    """All of them, but for the name of the checksum itself: a file without it counts as one of an earlier version."""
    generator = np.random.default_rng(1)
    content = exported.read_bytes()
    path = tmp_path / "damaged.onnx"
    name = content.rindex(KEY.encode())
    # With the tags and lengths of the entry and of its key, a byte each.
    unseen = range(name - 4, name + len(KEY))
    for place in generator.integers(0, len(content), 40):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        assert python_sees(bytes(damaged)) or place in unseen
        code = run_runner(path, "--runs", "1", "--warmup", "0")[0]
        assert code == 3 or (code == 0 and place in unseen), place
    shutil.copy(exported, path)
    assert run_runner(path, "--runs", "1")[0] == 0
