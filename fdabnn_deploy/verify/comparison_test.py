from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.exact.record import KEY, Cut, Numerics
from fdabnn_deploy.ir.graph import Graph, Node
from fdabnn_deploy.ir.model_info import ModelInfo
from fdabnn_deploy.ir.ops import Affine, BinaryConv2d, GlobalAvgPool, Input, Sign
from fdabnn_deploy.targets.converter import ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.verify.comparison import compare_models
from fdabnn_deploy.verify.comparison_report import SCHEMA_FILE
from fdabnn_onnx.runtime.onnxruntime import OnnxRuntime

EXACT = Numerics("exact", {"input": Cut(-1.0, 1.0, 8)})


def write(
    path: Path,
    *,
    seed: int = 0,
    offset: float = 0.0,
    side: int = 6,
    sha256: str = "",
    numerics: Numerics | str | None = EXACT,
    mean: tuple[float, ...] | None = None,
) -> Path:
    """A small binary network as an ONNX file that claims these numerics."""
    weight = np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (4, 3, 3, 3))
    affine = Affine(np.full(4, 0.25), np.array([-1.0, -0.25, 0.25, 1.0]) + offset)
    nodes = [
        Node("input", Input((3, side, side))),
        Node("conv/sign", Sign(), ("input",), "conv"),
        Node("conv/binary_conv", BinaryConv2d(weight), ("conv/sign",), "conv"),
        Node("bn/affine", affine, ("conv/binary_conv",), "bn"),
        Node("output", GlobalAvgPool(), ("bn/affine",)),
    ]
    std = None if mean is None else (0.25,) * 3
    info = ModelInfo(path.stem, (3, side, side), mean, std, (-1.0, 1.0), checkpoint_sha256=sha256)
    find_converter("onnx").convert(Graph(nodes, ["output"]), info, path, ConvertOptions())
    if numerics is not None:
        model = onnx.load(path)
        text = numerics if isinstance(numerics, str) else numerics.to_text()
        entry = model.metadata_props.add()
        entry.key, entry.value = KEY, text
        onnx.save(model, path)
    return path


@pytest.mark.runtimes
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


@pytest.mark.runtimes
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
    # The same for every class: the decision stays, and decides nothing.
    assert result.agreement.share == 1
    assert result.verdict == "different"
    assert result.verdict_text == "12 of 12 values differ in their bits"


@pytest.mark.runtimes
def test_the_tolerance_is_said(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.onnx"), write(tmp_path / "b.onnx", offset=0.5)
    within = compare_models(a, b, "random:3", atol=0.5)
    assert within.passed
    assert within.verdict == "tolerated"
    assert within.verdict_text == "the same within --atol 0.5, not in their bits: 12 of 12 values needed it"
    beyond = compare_models(a, b, "random:3", atol=0.25)
    assert not beyond.passed
    assert beyond.verdict_text == "12 of 12 values differ in their bits, 12 of them beyond --atol 0.25"
    unused = compare_models(a, a, "random:3", atol=0.25)
    assert unused.verdict_text == "the same bits: 0 of 12 values differ (no value needed --atol 0.25)"
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="tolerance"):
            compare_models(a, a, "random:3", atol=wrong)


@pytest.mark.runtimes
def test_float_numerics_are_reported_only(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.onnx"), write(tmp_path / "b.onnx", offset=0.5, numerics=Numerics())
    result = compare_models(a, b, "random:3")
    assert result.passed
    assert (result.verdict, result.a.numerics, result.b.numerics) == ("reported", "exact", "float")
    assert result.verdict_text == (
        f"reported, not promised ({b} has float numerics): 3 of 3 decisions are the same, "
        "12 of 12 values differ, by at most 0.5, 0.5 on average"
    )
    # Asked for, a tolerance judges.
    assert compare_models(a, b, "random:3", atol=0.1).verdict == "different"


@pytest.mark.runtimes
def test_a_file_that_does_not_say_is_judged(tmp_path: Path) -> None:
    a = write(tmp_path / "a.onnx", numerics=None)
    assert compare_models(a, a, "random:3").verdict == "equal"
    b = write(tmp_path / "b.onnx", offset=0.5)
    result = compare_models(a, b, "random:3")
    assert (result.verdict, result.a.numerics, result.same_numerics) == ("different", "unknown", None)


@pytest.mark.runtimes
def test_other_numerics_are_noticed(tmp_path: Path) -> None:
    a = write(tmp_path / "a.onnx")
    assert compare_models(a, a, "random:2").same_numerics is True
    b = write(tmp_path / "b.onnx", numerics=Numerics("exact", {"input": Cut(-1.0, 1.0, 7)}))
    assert compare_models(a, b, "random:2").same_numerics is False


@pytest.mark.runtimes
def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.onnx", numerics='{"mode": "sharp"}')
    with pytest.raises(
        ModelRefusedError, match=r"a\.onnx: its metadata 'numerics' is damaged .*: export it again"
    ):
        compare_models(a, a, "random:2")


@pytest.mark.runtimes
def test_layers_are_compared_on_inputs_that_differ(tmp_path: Path) -> None:
    a = write(tmp_path / "a.onnx")
    images = np.random.default_rng(0).standard_normal((64, 3, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "x.npz", images=images)
    peaks = OnnxRuntime().open(a).run_all([images])["bn/affine"].max(axis=(1, 2, 3))
    limit = np.sort(peaks)[-4]
    wanted = tuple(map(int, np.flatnonzero(peaks > limit)))
    assert wanted
    # A limit that only these inputs reach.
    model = onnx.load(a)
    where = next(i for i, node in enumerate(model.graph.node) if node.output[0] == "output")
    model.graph.node[where].input[0] = "limited"
    model.graph.node.insert(where, onnx.helper.make_node("Clip", ["bn/affine"], ["limited"]))
    model.graph.node[where].input.extend(["", "most"])
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(limit), "most"))
    onnx.save(model, tmp_path / "b.onnx")
    result = compare_models(a, tmp_path / "b.onnx", tmp_path / "x.npz", per_layer=True)
    assert result.layer_images == wanted
    first = result.first_difference
    assert first is not None
    assert first.tensor == "output"
    assert first.comparison.first is not None
    assert result.comparison.first is not None
    assert first.comparison.first == result.comparison.first
    assert first.comparison.first.index[0] == result.layer_images[0]


@pytest.mark.runtimes
def test_other_weights_are_another_network(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.onnx", sha256="aa"), write(tmp_path / "b.onnx", seed=1, sha256="bb")
    result = compare_models(a, b, "random:200", per_layer=True)
    assert result.same_checkpoint is False
    assert not result.passed
    assert result.first_difference is not None
    assert result.first_difference.tensor == "conv/binary_conv"


@pytest.mark.runtimes
def test_labels_give_accuracies(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx")
    images = np.random.default_rng(0).standard_normal((6, 3, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "x.npz", images=images, labels=np.full(6, 3))
    result = compare_models(path, path, tmp_path / "x.npz")
    assert result.a.accuracy is not None
    assert result.a.accuracy == result.b.accuracy
    assert compare_models(path, path, "random:2").a.accuracy is None


@pytest.mark.runtimes
def test_what_cannot_be_compared(tmp_path: Path) -> None:
    a = write(tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=r"takes 3x6x6, b\.onnx takes 3x8x8: the two cannot be compared"):
        compare_models(a, write(tmp_path / "b.onnx", side=8))
    with pytest.raises(UsageError, match=r"c\.onnx does not exist"):
        compare_models(a, tmp_path / "c.onnx")
    (tmp_path / "d.txt").write_text("text")
    with pytest.raises(UsageError, match=r"a\.onnx:float: ':float' stands behind checkpoints only"):
        compare_models(a, f"{a}:float")
    with pytest.raises(UsageError, match="name the checkpoint as A or B"):
        compare_models(a, a, reproduce=tmp_path / "layer")
    with pytest.raises(UsageError, match="name a new folder"):
        compare_models(a, a, reproduce=tmp_path)
    with pytest.raises(UsageError, match=r"'\.txt'.*checkpoints end in \.pt"):
        compare_models(a, tmp_path / "d.txt")
    (tmp_path / "e.onnx").write_bytes(a.read_bytes()[:100])
    with pytest.raises(ModelRefusedError, match=r"e\.onnx"):
        compare_models(a, tmp_path / "e.onnx")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"per_layer": "no"}, "per_layer is True or False, not 'no'"),
        ({"runtimes": None}, "runtimes is a text or several.*not None"),
        ({"runtimes": [3]}, "runtimes is a text or several"),
        ({"atol": "0.1"}, "the tolerance '0.1' is not a number"),
        ({"atol": True}, "the tolerance True is not a number"),
        ({"atol": -1}, "the tolerance -1 is not a number of 0 or more"),
    ],
)
def test_arguments_of_another_type_are_refused_by_name(argument: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        compare_models("a.onnx", "b.onnx", **argument)


@pytest.mark.runtimes
@pytest.mark.parametrize(
    ("reading", "option"),
    [
        ({"arch": "nope"}, "--arch"),
        ({"model": "nets:make"}, "--model"),
        ({"arch_args": {"classes": 3}}, "--arch-arg"),
        ({"drop_noise": True}, "--drop-noise"),
        ({"input_shape": (3, 6, 6)}, "--input-shape"),
        ({"input_range": (-1.0, 1.0)}, "--input-range"),
        ({"input_range": (1.0, -1.0)}, "--input-range"),
        ({"name": "a"}, "--name"),
        ({"arch": "a", "drop_noise": True}, "--arch, --drop-noise"),
    ],
)
def test_options_about_checkpoints_are_refused_where_there_is_none(
    tmp_path: Path, reading: dict[str, Any], option: str
) -> None:
    a = write(tmp_path / "a.onnx")
    with pytest.raises(
        UsageError, match=f"^{option}: this is about reading a checkpoint, and neither side is"
    ):
        compare_models(a, a, "random:2", **reading)


@pytest.mark.runtimes
def test_options_that_say_nothing_are_none(tmp_path: Path) -> None:
    a = write(tmp_path / "a.onnx")
    assert compare_models(a, a, "random:2", arch=None, drop_noise=False, arch_args=None).passed


@pytest.mark.runtimes
@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5,) * 3, (0.25, 0.0, 0.25), "std must be above 0"),
        ((0.5,) * 3, (0.25, -1.0, 0.25), "std must be above 0"),
        ((0.5,) * 3, None, "--mean and --std go together"),
        (None, (0.25,) * 3, "--mean and --std go together"),
        ((0.5,) * 2, (0.25,) * 2, "--mean takes 3 finite numbers"),
        ((0.5,) * 3, (0.25, float("nan"), 0.25), "--std takes 3 finite numbers"),
        ((120.0,) * 3, (60.0,) * 3, "not on the scale of pixels 0..1"),
    ],
)
def test_a_wrong_mean_or_std_is_refused_without_a_checkpoint_too(
    tmp_path: Path, mean: tuple[float, ...] | None, std: tuple[float, ...] | None, message: str
) -> None:
    a = write(tmp_path / "a.onnx")
    with pytest.raises(UsageError, match=message):
        compare_models(a, a, "random:2", mean=mean, std=std)
    assert compare_models(a, a, "random:2", mean=(0.5,) * 3, std=(0.25,) * 3).passed


@pytest.mark.runtimes
def test_another_mean_than_the_files_own_is_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.onnx", mean=(0.5, 0.4, 0.3))
    given: dict[str, Any] = {"std": (0.25,) * 3}
    with pytest.raises(UsageError, match=r"--mean 0.1,0.1,0.1: .*a.onnx was made with 0.5,0.4,0.3: leave"):
        compare_models(a, a, "random:2", mean=(0.1,) * 3, **given)
    assert compare_models(a, a, "random:2", mean=(0.5, 0.4, 0.3), **given).passed
