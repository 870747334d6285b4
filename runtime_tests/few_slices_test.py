"""`--fidelity accuracy` on the shipped ResNet-20: the accuracy stays, the decisions do not, and the bits are equal everywhere."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import fdabnn_deploy
from fdabnn_deploy.cli import export as export_command
from fdabnn_deploy.cli import parity as parity_command
from fdabnn_deploy.cli import runner as runner_command
from fdabnn_deploy.measure.profile_report import texts
from fdabnn_deploy.measure.profiles import profile as profiles
from fdabnn_deploy.pipeline.report import Report
from fdabnn_deploy.verify.capsule import read_capsule

pytestmark = pytest.mark.runtimes

CHECKPOINT = Path(__file__).parents[1] / "models" / "checkpoints" / "resnet20-cifar10.pt"
SAID = "same accuracy, not the same decisions"
COUNT = 120
"""Few, so that the test takes half a minute: the bound is wide then, and so is the drop that may be."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("few_slices")


@pytest.fixture(scope="module")
def report(cifar10_folder: Path, out: Path) -> Report:
    return fdabnn_deploy.export(
        CHECKPOINT, targets="all", out=out, name="net", kernels="packed", input_format="pixels", fidelity="accuracy",
        samples=f"{cifar10_folder}:{COUNT}", max_drop=25, capsule=out / "net.capsule",
    )  # fmt: skip


def test_it_is_of_the_same_accuracy_and_never_verified(report: Report) -> None:
    assert (report.verdict, report.verified, report.failures) == ("same accuracy", False, ())
    assert report.verdict_text == f"exact between files, {SAID}"
    assert report.fidelity is not None
    assert 0 < report.fidelity.tested.bound < report.fidelity.max_drop == 25
    assert report.truth.agreement.share < 0.98
    assert {layer.tensor: layer.few.sums for layer in report.fidelity.layers} == {
        "conv1/conv2d": 1,
        "output": 1,
    }
    # With all its slices it is the trained network.
    assert (report.gate.failures, report.allowed_changes) == ((), ())
    assert report.gate.layers.passed
    assert "verified" not in json.dumps({**report.to_json(), "verified": ""}).replace('"verified": ""', "")


def test_bits_are_equal_on_every_runtime_and_proved(report: Report) -> None:
    assert {row.target for row in report.parity} == {None, "onnx", "tflite"}
    assert all(row.comparison.differing == 0 for row in report.parity)
    assert all(proof.proved for proof in report.proofs)


def test_parity_profile_and_capsule_say_what_it_is(
    report: Report, out: Path, cifar10_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = ["--inputs", f"{cifar10_folder}:16"]
    assert parity_command.main([str(out / "net.onnx"), str(out / "net.tflite"), *inputs]) == 0
    said = capsys.readouterr().out
    assert f"net.tflite is of the {SAID}: with 95% confidence" in said
    assert "0 of 160 values differ" in said
    assert parity_command.main([str(CHECKPOINT), str(out / "net.tflite"), *inputs]) == 0
    assert "0 of 160 values differ" in capsys.readouterr().out
    for suffix in (".onnx", ".tflite"):
        file = profiles._file(out / f"net{suffix}", (), "model", "")
        assert texts.change(file) == f"of the {report.fidelity.text}" if report.fidelity else ""
    assert read_capsule(out / "net.capsule").same_accuracy
    command = runner_command.command(["--selftest", str(out / "net.capsule"), "--selftest-only"])
    replayed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (
        "the model is of the same accuracy as the trained network, not the same decisions" in replayed.stdout
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--samples", "random:8"], "needs labelled images, and 8 seeded synthetic images have no labels"),
        (["--samples", "DATA:300"], "needs at least 918 labelled images"),
        (["--samples", "DATA:300", "--max-drop", "0"], "above 0 and below 100, not 0.0"),
        (["--samples", "DATA:300", "--numerics", "float"], "it needs exact numerics"),
    ],
)
def test_wrong_usage_is_refused(
    options: list[str], message: str, cifar10_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [option.replace("DATA", str(cifar10_folder)) for option in options]
    asked = [str(CHECKPOINT), "--out", str(tmp_path / "out"), "--fidelity", "accuracy", *given]
    assert export_command.main(asked) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
