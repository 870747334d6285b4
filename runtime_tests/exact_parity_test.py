"""Checkpoints against files with exact numerics: equal bits, the first that is not, and its layer alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from fdabnn_deploy.errors import ModelRefusedError
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.exact.record import KEY
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.testing import assert_bit_exact
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_deploy.verify.comparison import compare_models

NETWORK = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(32, 32, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(32)
        self.act = nn.PReLU(32)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = self.stem(x)
        weight = torch.where(self.conv.weight < 0, -1.0, 1.0)
        x = x + self.bn(torch.conv2d(torch.where(x < 0, -1.0, 1.0), weight, padding=1))
        return self.fc(self.act(x).mean(dim=(2, 3)))
"""
INPUTS = "random:24"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small.pt`, and its exact files `small.onnx` and `small.tflite`."""
    folder = tmp_path_factory.mktemp("exact")
    (folder / "small_net.py").write_text(NETWORK)
    space: dict[str, Any] = {}
    exec(compile(NETWORK, "small_net.py", "exec"), space)
    torch.manual_seed(0)
    module: nn.Module = space["Small"]()
    for name, value in module.named_parameters():
        if name.startswith(("bn", "act")):
            nn.init.normal_(value)
    torch.save(module.state_dict(), folder / "small.pt")
    return folder


@pytest.fixture(scope="module")
def reading(folder: Path) -> dict[str, Any]:
    """How to read the checkpoint."""
    sys.path.insert(0, str(folder))
    return {"model": "small_net:Small", "input_shape": (3, 9, 9), "input_range": (-2.0, 2.0)}


@pytest.fixture(scope="module")
def files(folder: Path, reading: dict[str, Any]) -> tuple[Path, Path]:
    """The exact ONNX and TFLite file."""
    source = checkpoint.read(folder / "small.pt", **reading)
    samples = np.random.default_rng(0).normal(size=(16, 3, 9, 9)).astype(np.float32)
    exact = make_exact(deploy(capture(source.module, source.info.input_shape)).graph, [samples])
    sha256, record = source.info.checkpoint_sha256, exact.numerics.to_text()
    info = ModelInfo("small", (3, 9, 9), input_range=(-2.0, 2.0), checkpoint_sha256=sha256, numerics=record)
    paths = []
    for target in ("onnx", "tflite"):
        converter = find_converter(target)
        paths.append(folder / f"small.{target}")
        converter.convert(exact.graph, info, paths[-1], ConvertOptions())
    return paths[0], paths[1]


def tamper(source: Path, path: Path) -> Path:
    """A copy whose stem has one bias off by 2^-12."""
    model = onnx.load(source)
    node = next(node for node in model.graph.node if node.op_type == "Conv" and len(node.input) == 3)
    assert "stem" in node.output[0]
    (constant,) = [value for value in model.graph.initializer if value.name == node.input[2]]
    values = onnx.numpy_helper.to_array(constant).copy()
    values[5] += np.float32(2**-12)
    constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("i", [0, 1])
def test_a_checkpoint_takes_the_numerics_of_the_file(
    folder: Path, files: tuple[Path, Path], reading: dict[str, Any], i: int, swapped: bool
) -> None:
    a, b = (files[i], folder / "small.pt") if swapped else (folder / "small.pt", files[i])
    result = compare_models(a, b, INPUTS, per_layer=True, **reading)
    assert result.verdict == "equal"
    assert result.same_checkpoint is True
    assert result.same_numerics is True
    assert result.comparison.values == 240
    assert result.first_difference is None
    assert {"stem", "conv", "bn", "fc"} <= {row.layer for row in result.layers}
    side = result.b if swapped else result.a
    assert (side.numerics, side.what) == ("exact", f"its deployed graph, numerics of {files[i].name}")


def test_two_exact_files_have_the_same_bits(files: tuple[Path, Path]) -> None:
    result = compare_models(*files, INPUTS, per_layer=True)
    assert result.verdict == "equal"
    assert len(result.layers) > 5


def test_the_trained_model_is_reported_only(
    folder: Path, files: tuple[Path, Path], reading: dict[str, Any]
) -> None:
    name = f"{folder / 'small.pt'}:float"
    result = compare_models(name, files[0], INPUTS, per_layer=True, **reading)
    assert result.passed
    assert result.verdict == "reported"
    assert result.verdict_text.startswith(
        f"reported, not promised ({name} is the trained model): 24 of 24 decisions"
    )
    assert 0 < result.comparison.max_abs < 0.05
    assert result.first_difference is not None
    alone = compare_models(folder / "small.pt", name, INPUTS, **reading)
    assert alone.verdict == "reported"


def test_two_checkpoints_are_reported_only(folder: Path, reading: dict[str, Any]) -> None:
    result = compare_models(folder / "small.pt", folder / "small.pt", INPUTS, **reading)
    assert result.comparison.equal
    assert result.not_judged == "two checkpoints have no recorded numerics"


def test_a_file_without_a_record_gives_a_checkpoint_none(
    folder: Path, files: tuple[Path, Path], reading: dict[str, Any], tmp_path: Path
) -> None:
    model = onnx.load(files[0])
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    result = compare_models(folder / "small.pt", tmp_path / "bare.onnx", INPUTS, **reading)
    assert (
        result.not_judged
        == f"{tmp_path / 'bare.onnx'} does not record numerics for {folder / 'small.pt'} to take"
    )
    assert_bit_exact(files[1], tmp_path / "bare.onnx", INPUTS)


def test_the_first_wrong_bit_is_found_and_cut_out(
    folder: Path, files: tuple[Path, Path], reading: dict[str, Any], tmp_path: Path
) -> None:
    wrong = tamper(files[0], tmp_path / "wrong.onnx")
    result = compare_models(folder / "small.pt", wrong, INPUTS, reproduce=tmp_path / "layer", **reading)
    assert result.verdict == "different"
    row = result.first_difference
    assert row is not None
    assert row.layer == "stem"
    first = row.comparison.first
    assert first is not None
    assert first.index[1] == 5
    assert first.a_bits != first.b_bits
    assert result.reproduction == str(tmp_path / "layer")
    text = (tmp_path / "layer" / "README.txt").read_text()
    assert "module stem, index [0, 5, " in text
    assert text.count(first.b_bits) == 1
    # The files of the layer are converted anew, so they are right on three runtimes, as is the reference.
    assert text.count(first.a_bits) == 5
    done = subprocess.run(
        [sys.executable, tmp_path / "layer" / "run.py"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.count(first.a_bits) == 2


def test_a_record_of_another_network_is_refused(
    folder: Path, files: tuple[Path, Path], reading: dict[str, Any], tmp_path: Path
) -> None:
    model = onnx.load(files[0])
    (entry,) = [entry for entry in model.metadata_props if entry.key == KEY]
    entry.value = entry.value.replace("stem", "root")
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelRefusedError, match="record"):
        compare_models(folder / "small.pt", tmp_path / "other.onnx", INPUTS, **reading)
