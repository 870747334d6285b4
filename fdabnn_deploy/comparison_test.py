from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from fdabnn_deploy.comparison import SCHEMA_FILE, compare_models
from fdabnn_deploy.converter import ConvertOptions, find_converter
from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.graph import Graph, Node
from fdabnn_deploy.model_info import ModelInfo
from fdabnn_deploy.ops import Affine, BinaryConv2d, GlobalAvgPool, Input, Sign


def write(path: Path, *, seed: int = 0, offset: float = 0.0, side: int = 6, sha256: str = "") -> Path:
    """A small binary network as an ONNX file."""
    weight = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (4, 3, 3, 3))
    affine = Affine(np.full(4, 0.25), np.linspace(-1, 1, 4) + offset)
    nodes = [
        Node("input", Input((3, side, side))),
        Node("conv/sign", Sign(), ("input",), "conv"),
        Node("conv/binary_conv", BinaryConv2d(weight), ("conv/sign",), "conv"),
        Node("bn/affine", affine, ("conv/binary_conv",), "bn"),
        Node("output", GlobalAvgPool(), ("bn/affine",)),
    ]
    info = ModelInfo(path.stem, (3, side, side), input_range=(-1.0, 1.0), checkpoint_sha256=sha256)
    find_converter("onnx").convert(Graph(nodes, ["output"]), info, path, ConvertOptions())
    return path


def test_a_file_agrees_with_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", sha256="aa")
    result = compare_models(path, path, "random:5", per_layer=True)
    assert result.passed
    assert result.same_checkpoint is True
    assert result.comparison.equal
    assert result.first_difference is None
    tensors = [row.tensor for row in result.layers]
    assert tensors.index("conv/sign") < tensors.index("conv/binary_conv") < tensors.index("output")
    content = json.loads(json.dumps(result.to_json()))
    schema = json.loads(SCHEMA_FILE.read_text())
    jsonschema.validate(content, schema)
    assert set(schema["properties"]) == set(content)


def test_the_first_tensor_that_differs_is_named(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.onnx"), write(tmp_path / "b.onnx", offset=0.5)
    result = compare_models(a, b, "random:3", per_layer=True)
    assert result.same_checkpoint is None
    first = result.first_difference
    assert first is not None
    assert first.layer == "bn"
    assert first.comparison.first is not None
    assert first.comparison.first.index == (0, 0, 0, 0)
    assert first.comparison.first.b - first.comparison.first.a == 0.5
    assert first.comparison.differing == first.comparison.values == 3 * 4 * 4 * 4
    # The same for every class: the decision stays.
    assert result.passed


def test_other_weights_are_another_network(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.onnx", sha256="aa"), write(tmp_path / "b.onnx", seed=1, sha256="bb")
    result = compare_models(a, b, "random:200", per_layer=True)
    assert result.same_checkpoint is False
    assert not result.passed
    assert result.first_difference is not None
    assert result.first_difference.tensor == "conv/binary_conv"


def test_labels_give_accuracies(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx")
    images = np.random.default_rng(0).standard_normal((6, 3, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "x.npz", images=images, labels=np.full(6, 3))
    result = compare_models(path, path, tmp_path / "x.npz")
    assert result.a.accuracy is not None
    assert result.a.accuracy == result.b.accuracy
    assert compare_models(path, path, "random:2").a.accuracy is None


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    a = write(tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=r"takes 3x6x6, b\.onnx takes 3x8x8: the two cannot be compared"):
        compare_models(a, write(tmp_path / "b.onnx", side=8))
    with pytest.raises(UsageError, match=r"c\.onnx does not exist"):
        compare_models(a, tmp_path / "c.onnx")
    (tmp_path / "d.txt").write_text("text")
    with pytest.raises(UsageError, match=r"'\.txt'.*checkpoints end in \.pt"):
        compare_models(a, tmp_path / "d.txt")
    (tmp_path / "e.onnx").write_bytes(a.read_bytes()[:100])
    with pytest.raises(ModelRefusedError, match=r"e\.onnx"):
        compare_models(a, tmp_path / "e.onnx")
