"""Every shipped checkpoint, and one with random weights, on ONNX Runtime, LiteRT and LCE's interpreter."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import fdabnn_deploy
from fdabnn_deploy.data.cifar10 import find_test_batch
from fdabnn_deploy.pipeline.report import SCHEMA_FILE, Report
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.verify.comparison import compare_models
from fdabnn_onnx.runtime.onnxruntime import OPTIMIZATIONS
from fdabnn_tflite.runtime.interpreter import SETTINGS

SHIPPED = sorted((Path(__file__).parents[1] / "models" / "checkpoints").glob("*.pt"))
SAMPLES = 256


@pytest.fixture(
    scope="module", params=[*SHIPPED, None], ids=lambda path: path.stem if path else "random weights"
)
def exported(
    request: pytest.FixtureRequest, checkpoint: Path, data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path, Report]:
    """The checkpoint, the folder with its files, and the report."""
    path = request.param or checkpoint
    out = tmp_path_factory.mktemp("exported")
    batch = find_test_batch(data_dir)
    samples = f"{data_dir}:{SAMPLES}" if batch is not None else f"random:{SAMPLES}"
    return path, out, fdabnn_deploy.export(path, targets="all", out=out, samples=samples)


def test_every_runtime_computes_the_same_bits(exported: tuple[Path, Path, Report]) -> None:
    _, _, report = exported
    assert report.verified
    for row in report.parity:
        assert row.judged_by == "bits"
        assert row.comparison.differing == 0, row
        assert row.comparison.values >= 10 * row.images
    default = {(row.runtime, row.target): row.images for row in report.parity if not row.setting}
    files = (("onnxruntime", "onnx"), ("litert", "tflite"))
    assert [default[file] for file in files] == [SAMPLES] * 2
    settings = {(row.runtime, row.setting) for row in report.parity if not row.form}
    assert {("reference", ""), ("torch", "batch 1"), ("torch", "1 thread")} <= settings
    assert {("litert", str(setting)) for setting in SETTINGS if setting.batch is None} <= settings
    for threads in ("1 thread", "2 threads"):
        for form in ("", "simplified", "batch 4", "simplified, batch 4"):
            found = {
                row.setting for row in report.parity if row.runtime == "onnxruntime" and row.form == form
            }
            assert {f"{level} optimisations, {threads}" for level in OPTIMIZATIONS} <= found


@pytest.mark.usefixtures("lce")
def test_lce_computes_the_same_bits(exported: tuple[Path, Path, Report]) -> None:
    _, _, report = exported
    rows = [row for row in report.parity if (row.runtime, row.target) == ("lce", "tflite")]
    assert [row.images for row in rows if not row.setting] == [SAMPLES]
    assert all(row.comparison.differing == 0 for row in rows)
    expected = {
        f"{kernels} kernels, {threads}"
        for kernels in ("default", "indirect")
        for threads in ("1 thread", "2 threads")
    }
    assert expected <= {row.setting for row in rows}


def test_every_file_is_proved(exported: tuple[Path, Path, Report]) -> None:
    _, _, report = exported
    assert {proof.target for proof in report.proofs} == {"onnx", "tflite"}
    assert [failure for proof in report.proofs for failure in proof.failures] == []


def test_the_grid_keeps_the_decisions(exported: tuple[Path, Path, Report]) -> None:
    _, _, report = exported
    assert report.truth.agreement.images == SAMPLES
    assert report.truth.agreement.share >= 0.98
    assert report.truth.comparison.mean_abs <= 0.01 * report.truth.output_range


def test_every_binary_layer_alone_is_equal(exported: tuple[Path, Path, Report]) -> None:
    _, _, report = exported
    binary = [layer.module for layer in report.coverage if layer.expected]
    assert binary
    for row in report.twins:
        assert [layer.module for layer in row.layers] == binary
        assert all(layer.differing == 0 and layer.values > 0 for layer in row.layers)


def test_binary_layers_are_1_bit_in_the_files(exported: tuple[Path, Path, Report]) -> None:
    _, _, report = exported
    binary = sum(layer.expected for layer in report.coverage)
    assert sum(layer.one_bit for layer in report.coverage) == binary
    counts = {artifact.target: artifact.op_counts for artifact in report.artifacts}
    assert counts["tflite"]["LceBconv2d"] == binary
    assert counts["onnx"]["Conv (1-bit)"] == binary


def test_files_say_where_they_come_from(exported: tuple[Path, Path, Report]) -> None:
    _, _, report = exported
    for artifact in report.artifacts:
        path = Path(artifact.path)
        assert path.stat().st_size == artifact.bytes
        metadata = registry.for_file(path).metadata(path)
        assert metadata["checkpoint_sha256"] == report.model.sha256
        assert json.loads(metadata["mean"]) == list(report.model.mean or ())
        assert json.loads(metadata["input_range"]) == list(report.model.input_range or ())


def test_nothing_else_is_left_in_the_folder(exported: tuple[Path, Path, Report]) -> None:
    _, out, report = exported
    assert sorted(path.name for path in out.iterdir()) == sorted(Path(a.path).name for a in report.artifacts)


def test_the_report_follows_its_schema(exported: tuple[Path, Path, Report]) -> None:
    jsonschema.validate(exported[2].to_json(), json.loads(SCHEMA_FILE.read_text()))


def test_the_two_files_agree_layer_by_layer(exported: tuple[Path, Path, Report]) -> None:
    path, _, report = exported
    onnx, tflite = (artifact.path for artifact in report.artifacts)
    result = compare_models(onnx, tflite, "random:16", per_layer=True)
    assert result.same_checkpoint is True
    assert result.same_numerics is True
    assert result.verdict == "equal"
    assert result.first_difference is None
    # Signs are packed into bits in the TFLite file, and unpacked for the comparison.
    names = {row.tensor for row in result.layers}
    assert "output" in names
    assert any(name.endswith("/add") for name in names)
    layers = {layer.module for layer in report.coverage if layer.expected}
    for file in (onnx, tflite):
        against = compare_models(path, file, "random:16", per_layer=True)
        assert against.same_checkpoint is True
        assert against.verdict == "equal"
        assert against.first_difference is None
        seen = {row.layer for row in against.layers}
        assert layers <= seen if file == onnx else seen


def test_the_trained_model_is_reported_only(exported: tuple[Path, Path, Report]) -> None:
    path, _, report = exported
    result = compare_models(f"{path}:float", report.artifacts[0].path, "random:16")
    assert result.verdict == "reported"
    assert result.comparison.differing > 0
