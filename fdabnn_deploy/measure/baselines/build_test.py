from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fdabnn_deploy.errors import ModelRefusedError, UsageError
from fdabnn_deploy.ir import ops
from fdabnn_deploy.ir.graph import Graph
from fdabnn_deploy.measure.baselines.baseline import BaselineModel, Kind
from fdabnn_deploy.measure.baselines.build import build_baseline
from fdabnn_deploy.measure.baselines.small_files_testing import (
    FORMATS,
    RNG,
    affine,
    binary,
    conv,
    dense,
    floats,
    run,
    seed,
    write,
)
from fdabnn_deploy.transforms.pass_testing import Build
from fdabnn_tflite.runtime.tflite_file import read_tflite

pytestmark = pytest.mark.runtimes

pytest.importorskip("onnx")

BINARY_OPERATORS = {
    *("LceQuantize", "LceDequantize", "LceBconv2d", "LceBMaxPool2d", "SELECT_V2", "LESS"),
    *("Where", "Less", "PackSigns", "BinaryConv"),
}
KINDS: tuple[Kind, ...] = ("fp32", "int8")


def network() -> Graph:
    """Binary layers with what may stand around them: shortcut, stride, groups, padding with +1, pool of signs, dense."""
    seed(1)
    build = Build(3, 16, 16)
    stem = build(conv(3, 32), "x")
    y = build(affine(32), build(binary(32, 32), build(ops.Sign(), stem)))
    y = build(ops.Add(), y, stem)
    z = build(binary(32, 64, stride=2, padding_value=1), build(ops.Sign(), y))
    z = build(affine(64), build(ops.PRelu(np.linspace(0.1, 0.4, 64, dtype=np.float32)), z))
    z = build(ops.MaxPool2d((2, 2), (2, 2)), build(ops.Sign(), z))
    z = build(affine(64), build(binary(64, 64, groups=2), z))
    flat = build(ops.Sign(), build(ops.Reshape((64 * 16,)), z))
    weight = np.where(RNG.random((8, 1024)) < 0.5, -1, 1).astype(np.int8)
    dense_bits = build(affine(8), build(ops.BinaryLinear(weight), flat))
    return build.graph(build(dense(72, 5), build(ops.Concat(), dense_bits, build(ops.GlobalAvgPool(), z))))


LAYERS = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, graph = tmp_path_factory.mktemp("models"), network()
    files = {suffix: write(graph, folder / f"model{suffix}", exact=True) for suffix in FORMATS}
    return files | {"packed": write(graph, folder / "packed.onnx", exact=True, kernels="packed")}


@pytest.fixture(scope="module", params=[(kind, which) for kind in KINDS for which in (*FORMATS, "packed")])
def built(
    request: pytest.FixtureRequest, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, BaselineModel]:
    kind, which = request.param
    images = floats(3, 3, 16, 16)
    return models[which], build_baseline(kind, models[which], tmp_path_factory.mktemp("baseline"), images)


def test_it_runs_and_gives_normal_numbers(built: tuple[Path, BaselineModel]) -> None:
    model, baseline = built
    assert baseline.path.name == f"{model.stem}.{baseline.kind}{model.suffix}"
    x = floats(4, 3, 16, 16)
    (expected,), (found,) = run(model, x), run(baseline.path, x)
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    assert 1e-6 < np.abs(found).max() < 1e6
    assert not np.array_equal(found, expected)


def test_nothing_binary_is_left(built: tuple[Path, BaselineModel]) -> None:
    _, baseline = built
    if baseline.path.suffix == ".tflite":
        found = set(read_tflite(baseline.path).op_counts())
    else:
        import onnx

        found = {node.op_type for node in onnx.load(baseline.path).graph.node}
    assert not BINARY_OPERATORS & found
    assert not {"ROUND", "Round"} & found


def test_every_layer_has_its_place_in_both_files(
    built: tuple[Path, BaselineModel], models: dict[str, Path]
) -> None:
    model, baseline = built
    # LCE has no groups: a file holds one operator for each.
    assert len(baseline.layers) == LAYERS + (model.suffix == ".tflite")
    assert len({layer.baseline_op for layer in baseline.layers}) == len(baseline.layers)
    for layer in baseline.layers:
        assert layer.model_tensor in operator(model, layer.model_op)
        assert layer.baseline_tensor in operator(baseline.path, layer.baseline_op)
    macs = {"binaryconv2d3": 16 * 16 * 32 * 32 * 9, "binaryconv2d7": 8 * 8 * 64 * 32 * 9}
    macs |= {"binaryconv2d12": 4 * 4 * 64 * 32 * 9, "binarylinear16": 8 * 1024}
    found: dict[str, int] = {}
    for layer in baseline.layers:
        found[layer.name] = found.get(layer.name, 0) + layer.macs
    assert found == macs


def operator(path: Path, index: int) -> list[str]:
    """The names of the tensors that an operator of a file writes."""
    if path.suffix == ".tflite":
        file = read_tflite(path)
        return [file.tensors[i].name for i in file.operators[index].outputs]
    import onnx

    return list(onnx.load(path).graph.node[index].output)


@pytest.mark.parametrize("suffix", FORMATS)
def test_float_baselines_have_the_models_shapes_layer_by_layer(
    suffix: str, models: dict[str, Path], tmp_path: Path
) -> None:
    baseline = build_baseline("fp32", models[suffix], tmp_path)
    before, after = shapes(models[suffix]), shapes(baseline.path)
    for layer in baseline.layers:
        shape = before[layer.model_tensor]
        packed = suffix == ".tflite" and shape[3] * 32 == after[layer.baseline_tensor][3]
        assert after[layer.baseline_tensor] == ((*shape[:3], 32 * shape[3]) if packed else shape), layer


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors."""
    if path.suffix == ".tflite":
        return {tensor.name: tensor.shape for tensor in read_tflite(path).tensors}
    import onnx

    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    values = (*model.graph.value_info, *model.graph.output)
    return {v.name: tuple(dim.dim_value for dim in v.type.tensor_type.shape.dim) for v in values}


def test_the_same_file_gives_the_same_baseline(models: dict[str, Path], tmp_path: Path) -> None:
    for kind in KINDS:
        first, second = (
            build_baseline(kind, models[".tflite"], tmp_path / name).path.read_bytes() for name in ("a", "b")
        )
        assert first == second


def test_images_may_be_left_out(models: dict[str, Path], tmp_path: Path) -> None:
    baseline = build_baseline("int8", models["packed"], tmp_path)
    assert np.isfinite(run(baseline.path, floats(1, 3, 16, 16))[0]).all()


def test_what_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    build = Build(3, 8, 8)
    plain = write(
        build.graph(build(ops.Softmax(), build(ops.GlobalAvgPool(), build(conv(3, 4), "x")))),
        tmp_path / "plain.onnx",
    )
    with pytest.raises(ModelRefusedError, match=r"plain\.onnx has no fp32 baseline: it has no binary layer"):
        build_baseline("fp32", plain, tmp_path)
    with pytest.raises(UsageError, match=r"there is no file .*missing"):
        build_baseline("fp32", tmp_path / "missing.tflite", tmp_path)
    with pytest.raises(UsageError, match=r"end in \.onnx or \.tflite"):
        build_baseline("fp32", tmp_path / "model.pt", tmp_path)
    with pytest.raises(UsageError, match="no baseline 'int4'"):
        build_baseline("int4", plain, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="do not fit its input"):
        build_baseline("int8", models[".onnx"], tmp_path, floats(2, 3, 8, 8))
    with pytest.raises(UsageError, match="do not fit its input"):
        build_baseline("int8", models[".tflite"], tmp_path, floats(0, 3, 16, 16))


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files_are_refused(suffix: str, models: dict[str, Path], tmp_path: Path) -> None:
    content = models[suffix].read_bytes()
    path = tmp_path / f"damaged{suffix}"
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            changed[place] = rng.integers(0, 256)
        path.write_bytes(bytes(changed[: rng.integers(1, len(changed))] if rng.random() < 0.3 else changed))
        try:
            build_baseline("fp32", path, tmp_path)
        except ModelRefusedError as error:
            refused += str(error).startswith(f"{path} has no fp32 baseline: ")
    assert refused > 15
