"""The whole CIFAR-10 test set: every shipped checkpoint in PyTorch, ONNX Runtime and LCE, accuracy and bits."""

from __future__ import annotations

from pathlib import Path

import pytest

import fdabnn_deploy
from fdabnn_deploy.cli.console import make_console
from fdabnn_deploy.cli.tables.export_report import print_report
from fdabnn_deploy.data import samples
from fdabnn_deploy.data.samples import run_in_batches
from fdabnn_deploy.exact.make_exact import make_exact
from fdabnn_deploy.exact.record import Numerics
from fdabnn_deploy.frontend import checkpoint
from fdabnn_deploy.frontend.capture import capture
from fdabnn_deploy.ir.reference import evaluate
from fdabnn_deploy.runtimes import registry
from fdabnn_deploy.runtimes.torch_graph import TorchGraphSession
from fdabnn_deploy.targets.converter import Artifact, ConvertOptions
from fdabnn_deploy.targets.installed import find_converter
from fdabnn_deploy.transforms.deploy import deploy
from fdabnn_deploy.verify.metrics import compare_outputs

SHIPPED = sorted((Path(__file__).parents[1] / "models" / "checkpoints").glob("*.pt"))
LEAST_ACCURACY = 0.78
ACCURACY_CHANGE = 0.001
PIECE = 250


@pytest.mark.long
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_10000_images(
    path: Path, cifar10_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = fdabnn_deploy.export(path, out=tmp_path, samples=f"{cifar10_folder}:all")
    with capsys.disabled():
        print_report(make_console(), report)
    assert report.samples.images == 10000
    trained = report.truth.accuracy_trained
    assert trained is not None
    assert trained >= LEAST_ACCURACY
    assert report.truth.accuracy_deployed == pytest.approx(trained, abs=ACCURACY_CHANGE)
    whole = [row for row in report.parity if row.images == 10000]
    absent = {(row.target, row.runtime) for row in report.absent}
    files = (("onnx", "onnxruntime"), ("tflite", "litert"), ("tflite", "lce"))
    assert [(row.target, row.runtime) for row in whole] == [file for file in files if file not in absent]
    assert all(row.accuracy == report.truth.accuracy_deployed for row in whole)
    assert all(row.comparison.differing == 0 for row in report.parity)
    assert all(proof.proved for proof in report.proofs)
    assert all(row.passed for row in report.twins)
    recorded = report.model.training.get("test_accuracy")
    if recorded is not None:
        assert trained == pytest.approx(recorded, abs=0.002)


@pytest.mark.long
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_10000_images_under_every_setting(
    path: Path, cifar10_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fdabnn_deploy.export(path, out=tmp_path, samples=f"{cifar10_folder}:64")
    source = checkpoint.read(path)
    images = samples.load(f"{cifar10_folder}:all", source.info).images
    files = sorted(file for file in tmp_path.iterdir() if file.suffix in (".onnx", ".tflite"))
    onnx = find_converter("onnx")
    record = Numerics.from_text(registry.for_file(files[0]).metadata(files[0])["numerics"])
    graph = make_exact(deploy(capture(source.module, source.info.input_shape)).graph, record=record).graph
    artifact = Artifact("onnx", files[0], {}, ())
    forms = dict.fromkeys(files, "as written") | {
        file: name
        for name, file in onnx.variants(graph, source.info, artifact, ConvertOptions(), tmp_path).items()
    }
    expected = run_in_batches(TorchGraphSession(graph), images)
    found = {"NumPy reference": 0, "PyTorch, 2 threads": 0}
    for begin in range(0, len(images), PIECE):
        piece = [images[begin : begin + PIECE]]
        wanted = [output[begin : begin + PIECE] for output in expected]
        for name, outputs in (
            ("NumPy reference", evaluate(graph, piece)),
            ("PyTorch, 2 threads", TorchGraphSession(graph, threads=2).run(piece)),
        ):
            found[name] += compare_outputs(wanted, list(outputs)).differing
    for file, form in forms.items():
        for runtime in (registry.for_file(file), *map(registry.get, registry.further(file))):
            for setting, session in runtime.settings(file):
                outputs = run_in_batches(session, images)
                found[f"{runtime.name}, {form}, {setting}"] = compare_outputs(expected, outputs).differing
    with capsys.disabled():
        print()
        for name, differing in found.items():
            print(f"{name}: {differing} of {expected[0].size} output values differ")
    assert not any(found.values())
